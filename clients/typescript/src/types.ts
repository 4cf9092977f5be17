/** The public types: what a stream is, what it tells, and what it is made with. */

/**
 * `connecting` until the service has sent something, `live` while connected,
 * `reconnecting` after a live connection was lost, and two final states: `ended`
 * (by the service or by the caller) and `failed` (trying again would not help).
 */
export type StreamState = 'connecting' | 'live' | 'reconnecting' | 'ended' | 'failed';

export type ReasonCode =
  /** The service has sent everything: the container stopped, the deployment is over. */
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
  /** The connection was lost, or could not be made. */
  | 'network'
  /** Nothing has come for so long that the connection was taken for dead. */
  | 'silent';

/** Why a stream is in its state. */
export interface Reason {
  readonly code: ReasonCode;
  /** A sentence for people; the service's own words where it has said why. */
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

/** The WebSocket is open; the service has not said anything on it yet. */
export interface OpenEvent {
  readonly type: 'open';
  /** Whether this stream was connected before. */
  readonly again: boolean;
}

/** An error message of the service; the state says whether it was the stream's last word. */
export interface ErrorEvent {
  readonly type: 'error';
  readonly time: string;
  readonly message: string;
}

/** A stream: listen with `on`, or iterate over its events. */
export interface Stream<E extends { readonly type: string }> extends AsyncIterable<E> {
  readonly state: StreamState;
  /** Why the stream is in its state; `null` while there is nothing to explain. */
  readonly reason: Reason | null;
  /** Resolves once the state is `ended` or `failed`, and never rejects. */
  readonly closed: Promise<Reason>;
  /**
   * Call `listener` for every event of a type, in the order of the stream. Return
   * a function that ends this; so does `signal`. What a listener throws is
   * reported as an uncaught error and disturbs neither stream nor other listeners.
   */
  on<T extends E['type']>(
    type: T,
    listener: (event: Extract<E, { readonly type: T }>) => void,
    options?: { readonly signal?: AbortSignal },
  ): () => void;
  /**
   * Connect now: ends the pause while `reconnecting`, and begins again after
   * `ended` or `failed` where the stream was left, with nothing repeated. Does
   * nothing while `live`, and after `signal` was aborted.
   */
  reconnect(): void;
  /** Close for now; `reconnect()` goes on. */
  close(): void;
}

// ------------------------------------------------------------------------ logs

export type LogChannel = 'stdout' | 'stderr';

export interface LogLine {
  /** The engine's time: RFC 3339, UTC, nine digits of a second. Never a `Date`: it has three. */
  readonly time: string;
  readonly stream: LogChannel;
  readonly line: string;
}

/** The lines since the last event, in the engine's order: many when there are many. */
export interface LinesEvent<L extends LogLine = LogLine> {
  readonly type: 'lines';
  readonly lines: readonly L[];
}

export interface ContainerStatus {
  readonly container: string;
  /** The engine's word: `running`, `exited`, `paused`, … */
  readonly state: string;
  /** Words for people, such as `Up 2 hours`. */
  readonly status: string;
  readonly deployment_id?: number;
}

/** The state of the container: at each connection, and when it changes. */
export interface ContainerStatusEvent {
  readonly type: 'status';
  readonly time: string;
  readonly data: ContainerStatus;
}

/** Lines are missing at this place of the stream. Every gap is told by one of these. */
export interface SkippedEvent {
  readonly type: 'skipped';
  readonly time: string;
  readonly lines: number;
  /** Whether they are exactly as many; otherwise nobody knows more than that some are missing. */
  readonly exact: boolean;
  /**
   * `forgotten`: the service does not remember as many as were written since the
   * connection was lost, or since the time that was asked for. `consumer`: the iteration
   * over events was too slow. Otherwise the service's reason, such as `slow` for a
   * connection that is too slow.
   */
  readonly reason: 'forgotten' | 'consumer' | 'slow' | (string & {});
  readonly message: string;
}

/** The stream goes on after its connection was lost; comes before the lines that follow. */
export interface ReconnectedEvent {
  readonly type: 'reconnected';
  /** How many lines are missing; a `skipped` event follows if any is. 0 when none is. */
  readonly missing: number;
  /**
   * Whether they are exactly as many. `missing: 0` without it: the service has none of the
   * earlier lines any more (the container is a new one), so there is nothing to compare.
   */
  readonly exact: boolean;
  /** For how long there was no connection, in milliseconds. */
  readonly downtime: number;
}

/** The service has ended the stream: the container has stopped, the deployment is over. */
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
  readonly appId: number;
  /** The newest status of the container, or `null` before the first. */
  readonly status: ContainerStatus | null;
  /** Iterate over the lines alone, one by one. */
  lines(): AsyncIterableIterator<LogLine>;
}

export interface ContainerLogsOptions extends StreamOptions {
  readonly appId: number;
  /** How many lines to begin with; 100 if neither this nor `since` is given. */
  readonly tail?: number;
  /** Begin after this engine time (RFC 3339), as far back as the service remembers. */
  readonly since?: string;
  /** Of a container that does not run, get the tail before the error. */
  readonly stopped?: boolean;
}

// ---------------------------------------------------------------- merged logs

export interface MergedLine extends LogLine {
  /** The key under which this line's log was given. */
  readonly source: string;
}

type FromSource<E> = E extends unknown ? E & { readonly source: string } : never;

/** Of each log everything but its lines, with the log's key as `source`. */
export type MergedLogsEvent =
  | LinesEvent<MergedLine>
  | FromSource<Exclude<ContainerLogsEvent, LinesEvent>>;

export interface MergeOptions {
  /**
   * How long a line waits for earlier ones of the other logs, in milliseconds; 300 by
   * default. A line that comes later still is delivered at once, out of order.
   */
  readonly holdBack?: number;
  /** How many lines wait at most; 20,000 by default. */
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
  /** Take a log in; one of the same key is replaced. */
  add(source: string, logs: ContainerLogs): void;
  /** Let a log go; what of it is held is delivered, and the log itself stays open. */
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
  /** Percent, 0 to 100; never goes back. */
  readonly progress: number;
  readonly message: string;
  readonly error_message: string;
}

export interface DeploymentStatusEvent {
  readonly type: 'status';
  readonly time: string;
  readonly data: DeploymentStatus;
}

/** The whole log from its beginning, then live; over (`ended`) after the final status. */
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

/** The samples since the last event, oldest first: one each second, many after a connection. */
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

/** Where the service is, and with what it is reached. */
export interface ConnectOptions {
  /**
   * The address of the service, such as `https://mist.example.com` or
   * `https://example.com/mist/`. In a page it may be relative or left out: the
   * page's own origin.
   */
  readonly url?: string | URL;
  /**
   * For programs: headers such as `Cookie`, for HTTP and WebSockets alike. A
   * browser sends its own cookies and cannot be given any.
   */
  readonly headers?: Readonly<Record<string, string>>;
  /** `globalThis.WebSocket` by default. In Node, give it that of `ws`. */
  readonly WebSocket?: WebSocketConstructor;
  readonly fetch?: typeof fetch;
}

export interface StreamOptions extends ConnectOptions {
  /** Ends the stream for good: no socket and no timer is left. */
  readonly signal?: AbortSignal;
  readonly backoff?: Partial<BackoffOptions>;
  /**
   * How long a connection may be quiet, in milliseconds, before a second one is opened to
   * see whether the first is still there; 30,000 by default, 5,000 for metrics. Doubles each
   * time the first turns out to be well, up to two minutes.
   */
  readonly quietAfter?: number;
  /** How many events' lines wait for a slow iteration at most; 100,000 by default. */
  readonly buffer?: number;
  /** Clock, timers, chance: replaced in tests. */
  readonly environment?: Partial<Environment>;
}

/** The pauses between attempts, in milliseconds; each is drawn from half of it to all of it. */
export interface BackoffOptions {
  /** 200 by default. */
  readonly initial: number;
  /** 10,000 by default. */
  readonly max: number;
  /** 1.5 by default. */
  readonly factor: number;
}

/** What the library takes of its surroundings. */
export interface Environment {
  /** Milliseconds of the wall clock, which goes on while a computer sleeps. */
  now(): number;
  /** From 0 to 1. */
  random(): number;
  /** Call back after some milliseconds; return a function that prevents it. */
  later(callback: () => void, milliseconds: number): () => void;
  /** Call back when it is time to deliver what has gathered; return a function that prevents it. */
  nextBatch(callback: () => void): () => void;
  /**
   * Call `wake` whenever the network or the computer may just be back: `online`, a page that
   * becomes visible. Return a function that ends this.
   */
  onWake(wake: () => void): () => void;
}

/** The part of the WebSocket interface that is used; that of browsers, of `ws` and of undici. */
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
