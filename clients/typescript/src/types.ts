/** The public types: streams, their events and their options. */

/**
 * `connecting` until the service has sent a message, `live` while connected,
 * `reconnecting` after a live connection was lost, and two final states: `ended`
 * (by the service or by the caller) and `failed` (trying again would not help).
 */
export type StreamState = 'connecting' | 'live' | 'reconnecting' | 'ended' | 'failed';

export type ReasonCode =
  /** The service has sent everything: the container stopped, or the deployment ended. */
  | 'ended'
  /** `close()` was called or the signal was aborted. */
  | 'closed'
  /** No session, or an expired or revoked one (4401, 401). */
  | 'unauthorized'
  /** The user may not see this (4403). */
  | 'forbidden'
  /** There is no such application, deployment or container (4404). */
  | 'not-found'
  /** The container does not run (4409). */
  | 'not-running'
  /** The container's log driver cannot be read (4410). */
  | 'unreadable'
  /** The service refuses this stream for another reason. */
  | 'refused'
  /** The service, or the Docker Engine behind it, cannot serve this now (1013, 1011). */
  | 'unavailable'
  /** The service stops or reloads (1001, 1012). */
  | 'restarting'
  /** The connection was lost or could not be opened. */
  | 'network'
  /** The connection was silent for so long that it is considered dead. */
  | 'silent';

/** The reason for a stream's state. */
export interface Reason {
  readonly code: ReasonCode;
  /** A sentence for people, in the service's own words if it sent a reason. */
  readonly message: string;
  /** The close code of the WebSocket, if one was closed. */
  readonly closeCode?: number;
}

export interface StateEvent {
  readonly type: 'state';
  readonly state: StreamState;
  /** `null` while there is nothing to explain: `connecting` at first, and `live`. */
  readonly reason: Reason | null;
  /** While `reconnecting` or `connecting`: milliseconds until the next attempt. */
  readonly retryIn?: number;
}

/** The WebSocket is open, but the service has not sent a message yet. */
export interface OpenEvent {
  readonly type: 'open';
  /** True if this stream was connected before. */
  readonly again: boolean;
}

/** An error message of the service; the state says whether the stream continues. */
export interface ErrorEvent {
  readonly type: 'error';
  readonly time: string;
  readonly message: string;
}

/** A stream: listen with `on`, or iterate over its events. */
export interface Stream<E extends { readonly type: string }> extends AsyncIterable<E> {
  readonly state: StreamState;
  /** The reason for the stream's state; `null` if there is nothing to explain. */
  readonly reason: Reason | null;
  /** Resolves once the state is `ended` or `failed`; it never rejects. */
  readonly closed: Promise<Reason>;
  /**
   * Call `listener` for every event of a type, in the order of the stream. Return
   * a function that removes it; `signal` does the same. An error that a listener throws is
   * reported as uncaught and affects neither the stream nor other listeners.
   */
  on<T extends E['type']>(
    type: T,
    listener: (event: Extract<E, { readonly type: T }>) => void,
    options?: { readonly signal?: AbortSignal },
  ): () => void;
  /**
   * Connect now: skip the delay while `reconnecting`, and start again after
   * `ended` or `failed` where the stream stopped, without repeating anything. Do
   * nothing while `live`, and after `signal` was aborted.
   */
  reconnect(): void;
  /** Close for now; `reconnect()` continues. */
  close(): void;
}

// ------------------------------------------------------------------------ logs

export type LogChannel = 'stdout' | 'stderr';

export interface LogLine {
  /** The engine's time: RFC 3339, UTC, nine digits of a second (a `Date` has only three). */
  readonly time: string;
  readonly stream: LogChannel;
  readonly line: string;
  /** The line's position: pass it as `since` to continue exactly after this line. */
  readonly pos?: string;
}

/** The lines since the last event, in the engine's order. */
export interface LinesEvent<L extends LogLine = LogLine> {
  readonly type: 'lines';
  readonly lines: readonly L[];
}

export interface ContainerStatus {
  readonly container: string;
  /** The state in the engine's words: `running`, `exited`, `paused`, … */
  readonly state: string;
  /** A description for people, such as `Up 2 hours`. */
  readonly status: string;
  readonly deployment_id?: number;
}

/** The state of the container: at each connection, and when it changes. */
export interface ContainerStatusEvent {
  readonly type: 'status';
  readonly time: string;
  readonly data: ContainerStatus;
}

/** Lines are missing at this position of the stream. Each gap has one of these events. */
export interface SkippedEvent {
  readonly type: 'skipped';
  readonly time: string;
  readonly lines: number;
  /** True if the number is exact; otherwise it is only known that some lines are missing. */
  readonly exact: boolean;
  /**
   * `forgotten`: the service does not remember all lines that were written since the
   * connection was lost, or since the requested time. `consumer`: the iteration
   * over events was too slow. Otherwise the service's reason, such as `slow` for a
   * connection that is too slow.
   */
  readonly reason: 'forgotten' | 'consumer' | 'slow' | (string & {});
  readonly message: string;
}

/** The stream continues after a lost connection; emitted before the lines that follow. */
export interface ReconnectedEvent {
  readonly type: 'reconnected';
  /** The number of missing lines, or 0; if it is not 0, a `skipped` event follows. */
  readonly missing: number;
  /**
   * True if the number is exact. If false with `missing: 0`, the service has none of the
   * earlier lines any more (the container is a new one), so there is nothing to compare.
   */
  readonly exact: boolean;
  /** The time without a connection, in milliseconds. */
  readonly downtime: number;
}

/** The service ended the stream: the container stopped, or the deployment ended. */
export interface EndEvent {
  readonly type: 'end';
  readonly time: string;
  readonly message: string;
}

export type ContainerLogsEvent =
  | StateEvent
  | OpenEvent
  | ContainerStatusEvent
  | LinesEvent
  | SkippedEvent
  | ReconnectedEvent
  | ErrorEvent
  | EndEvent;

export interface ContainerLogs extends Stream<ContainerLogsEvent> {
  /** The application's number; 0 for a container that was named. */
  readonly appId: number;
  /** The newest status of the container, or `null` before the first. */
  readonly status: ContainerStatus | null;
  /** Iterate over the lines only, one by one. */
  lines(): AsyncIterableIterator<LogLine>;
}

export interface ContainerLogsOptions extends StreamOptions {
  /** The application whose log is followed; or, for admins, any `container` by its name. */
  readonly appId?: number;
  readonly container?: string;
  /** The number of lines to start with; 100 if neither this nor `since` is given. */
  readonly tail?: number;
  /**
   * Begin after the last line with this engine time (RFC 3339), or after the line with this
   * `pos`, as far back as the service remembers.
   */
  readonly since?: string;
  /** If the container does not run, send its tail before the error. */
  readonly stopped?: boolean;
}

// ---------------------------------------------------------------- merged logs

export interface MergedLine extends LogLine {
  /** The key of this line's log. */
  readonly source: string;
}

type FromSource<E> = E extends unknown ? E & { readonly source: string } : never;

/** The events of each log except its lines, with the log's key as `source`. */
export type MergedLogsEvent =
  | LinesEvent<MergedLine>
  | FromSource<Exclude<ContainerLogsEvent, LinesEvent>>;

export interface MergeOptions {
  /**
   * How long a line waits for earlier ones of the other logs, in milliseconds; 300 by
   * default. A line that arrives even later is delivered immediately, out of order.
   */
  readonly holdBack?: number;
  /** The largest number of waiting lines; 20,000 by default. */
  readonly maxHeld?: number;
  readonly signal?: AbortSignal;
  readonly environment?: Partial<Environment>;
}

/** Merge several logs into one by engine time. */
export interface MergedLogs extends AsyncIterable<MergedLogsEvent> {
  on<T extends MergedLogsEvent['type']>(
    type: T,
    listener: (event: Extract<MergedLogsEvent, { readonly type: T }>) => void,
    options?: { readonly signal?: AbortSignal },
  ): () => void;
  readonly sources: ReadonlyMap<string, ContainerLogs>;
  /** Add a log, replacing one with the same key. */
  add(source: string, logs: ContainerLogs): void;
  /** Remove a log: deliver its waiting lines, and leave the log itself open. */
  remove(source: string): void;
  /** Stop merging, and close every log. */
  close(): void;
}

// ---------------------------------------------------------------- deployments

export type DeploymentState = 'pending' | 'building' | 'deploying' | 'success' | 'failed';

export type DeploymentStage =
  | 'pending'
  | 'cloning_repo'
  | 'building_image'
  | 'stopping_old'
  | 'starting_new'
  | 'completed'
  | (string & {});

export interface DeploymentStatus {
  readonly deployment_id: number;
  readonly status: DeploymentState;
  readonly stage: DeploymentStage;
  /** Percent, 0 to 100; never decreases. */
  readonly progress: number;
  readonly message: string;
  readonly error_message: string;
}

export interface DeploymentStatusEvent {
  readonly type: 'status';
  readonly time: string;
  readonly data: DeploymentStatus;
}

/** The log from its beginning, then live lines; `ended` after the final status. */
export type DeploymentEvent =
  | StateEvent
  | OpenEvent
  | DeploymentStatusEvent
  | LinesEvent
  | ReconnectedEvent
  | SkippedEvent
  | ErrorEvent;

export interface DeploymentStream extends Stream<DeploymentEvent> {
  readonly deploymentId: number;
  /** The newest status, or `null` before the first. */
  readonly status: DeploymentStatus | null;
  lines(): AsyncIterableIterator<LogLine>;
}

export interface DeploymentOptions extends StreamOptions {
  readonly deploymentId: number;
}

// -------------------------------------------------------------------- metrics

export interface Space {
  /** Bytes. */
  readonly used: number;
  readonly total: number;
  /** `used / total`, 0 to 100. */
  readonly percent: number;
}

/** The host at one moment. */
export interface MetricsSample {
  readonly timestamp: string;
  /** `usage` of all cores together, 0 to 100. */
  readonly cpu: { readonly usage: number; readonly cores: number };
  readonly memory: Space;
  readonly disk: Space;
  /** `null` while the Docker Engine cannot be reached. */
  readonly docker: {
    readonly containers_running: number | null;
    readonly containers_total: number | null;
    readonly images: number | null;
  };
}

/** The samples since the last event, oldest first: one per second, many after a connection. */
export interface SamplesEvent {
  readonly type: 'samples';
  readonly samples: readonly MetricsSample[];
}

export type MetricsEvent = StateEvent | OpenEvent | SamplesEvent | ReconnectedEvent | ErrorEvent;

export interface MetricsStream extends Stream<MetricsEvent> {
  /** The newest sample, or `null` before the first. */
  readonly latest: MetricsSample | null;
}

export interface MetricsOptions extends StreamOptions {
  /** The number of earlier samples to start with, 0 to 300. */
  readonly history?: number;
}

// -------------------------------------------------------------------- options

/** The address of the service, and how to reach it. */
export interface ConnectOptions {
  /**
   * The address of the service, such as `https://mist.example.com` or
   * `https://example.com/mist/`. In a page it may be relative; the default is the
   * page's own origin.
   */
  readonly url?: string | URL;
  /**
   * For programs: headers such as `Cookie`, for HTTP and WebSockets alike. A
   * browser sends its own cookies and accepts no others.
   */
  readonly headers?: Readonly<Record<string, string>>;
  /** `globalThis.WebSocket` by default. In Node, pass that of `ws`. */
  readonly WebSocket?: WebSocketConstructor;
  readonly fetch?: typeof fetch;
}

export interface StreamOptions extends ConnectOptions {
  /** Ends the stream permanently, without leaving a socket or a timer. */
  readonly signal?: AbortSignal;
  readonly backoff?: Partial<BackoffOptions>;
  /**
   * How long a connection may be quiet, in milliseconds, before a second one is opened to
   * check whether the first is still alive; 30,000 by default, 5,000 for metrics. Doubles each
   * time the first turns out to be alive, up to two minutes.
   */
  readonly quietAfter?: number;
  /** The largest number of lines that wait for a slow iteration; 100,000 by default. */
  readonly buffer?: number;
  /** Clock, timers, random numbers; tests replace them. */
  readonly environment?: Partial<Environment>;
}

/** Delays between attempts, in milliseconds; each is random between half of it and all of it. */
export interface BackoffOptions {
  /** 200 by default. */
  readonly initial: number;
  /** 10,000 by default. */
  readonly max: number;
  /** 1.5 by default. */
  readonly factor: number;
}

/** The part of the environment that the library uses. */
export interface Environment {
  /** Milliseconds of the wall clock, which continues while a computer sleeps. */
  now(): number;
  /** From 0 to 1. */
  random(): number;
  /** Call back after some milliseconds; return a cancel function. */
  later(callback: () => void, milliseconds: number): () => void;
  /** Call back when it is time to deliver a batch; return a cancel function. */
  nextBatch(callback: () => void): () => void;
  /**
   * Call `wake` whenever the network or the computer may just be back: `online`, a page that
   * becomes visible. Return a function that stops this.
   */
  onWake(wake: () => void): () => void;
}

/** The used part of the WebSocket interface of browsers, `ws` and undici. */
export interface WebSocketLike {
  readonly readyState: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  close(code?: number, reason?: string): void;
}

// biome-ignore lint/suspicious/noExplicitAny: the constructors' further arguments differ.
export type WebSocketConstructor = new (url: string, ...more: any[]) => WebSocketLike;
