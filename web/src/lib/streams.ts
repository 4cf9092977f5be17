/** The streams of the service, as the page listens to them. */

import { socketRoot } from './base';
import type { RawLine } from './log/entry';

export type StreamState = 'connecting' | 'live' | 'reconnecting' | 'ended' | 'failed';

export interface StateSink {
  state(state: StreamState, reason: string, code: number): void;
}

export interface LogSink extends StateSink {
  lines(lines: RawLine[]): void;
  status(app: number, state: string, status: string, time: string): void;
  skipped(app: number, lines: number, time: string): void;
  /** Connected again after a drop. */
  resumed(): void;
}

export interface LogOptions {
  readonly tail: number;
  /** The last time that is known of each application. */
  readonly since: Readonly<Record<number, string>>;
}

export interface DeploymentStatus {
  readonly deployment_id: number;
  readonly status: 'pending' | 'building' | 'deploying' | 'success' | 'failed';
  readonly stage: string;
  readonly progress: number;
  readonly message: string;
  readonly error_message: string;
}

export interface DeploymentSink extends StateSink {
  /** The log begins from its first record. */
  begin(): void;
  status(status: DeploymentStatus, time: string): void;
  line(line: string, time: string): void;
}

interface Space {
  readonly used: number;
  readonly total: number;
  readonly percent: number;
}

export interface Sample {
  readonly timestamp: string;
  readonly cpu: { readonly usage: number; readonly cores: number };
  readonly memory: Space;
  readonly disk: Space;
  readonly docker: {
    readonly containers_running: number | null;
    readonly containers_total: number | null;
    readonly images: number | null;
  };
}

export interface MetricsSink extends StateSink {
  sample(sample: Sample): void;
}

interface Message {
  readonly type?: string;
  readonly timestamp: string;
  readonly data: Record<string, never> & { readonly message?: string };
}

/** Pauses between attempts: from, and at most. */
const FIRST_MS = 300;
const MOST_MS = 10_000;

/** Hold one WebSocket open; return a function that closes it for good. */
function hold(
  address: () => string,
  sink: StateSink,
  opened: (again: boolean) => void,
  message: (message: Message) => void,
): () => void {
  let closed = false;
  let socket: WebSocket | undefined;
  let attempts = 0;
  let connected = false;
  let timer = 0;
  const connect = () => {
    let reason = '';
    let over = false;
    socket = new WebSocket(address());
    socket.onopen = () => {
      attempts = 0;
      sink.state('live', '', 0);
      opened(connected);
      connected = true;
    };
    socket.onmessage = ({ data }) => {
      if (closed) return;
      const parsed = JSON.parse(data as string) as Message;
      if (parsed.type === 'error') reason = parsed.data.message ?? '';
      if (parsed.type === 'end') over = true;
      message(parsed);
    };
    socket.onclose = ({ code }) => {
      if (closed) return;
      if (over || code === 1000) sink.state('ended', reason || 'Log stream ended', code);
      else if (code >= 4400) sink.state('failed', reason, code);
      else {
        sink.state(connected ? 'reconnecting' : 'connecting', reason, code);
        attempts += 1;
        const pause = Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(attempts, 8));
        timer = window.setTimeout(connect, pause * (0.5 + Math.random() / 2));
      }
    };
  };
  sink.state('connecting', '', 0);
  connect();
  return () => {
    closed = true;
    clearTimeout(timer);
    socket?.close();
  };
}

export function openLogs(
  apps: readonly number[],
  options: LogOptions,
  sink: LogSink,
): () => void {
  const app = apps[0] as number;
  let since = options.since[app] ?? '';
  return hold(
    () => {
      const query = since ? `since=${encodeURIComponent(since)}` : `tail=${options.tail}`;
      return `${socketRoot()}ws/container/logs?appId=${app}&${query}&stopped=1`;
    },
    sink,
    (again) => again && sink.resumed(),
    ({ type, timestamp: time, data }) => {
      if (type === 'log') {
        since = time;
        const { line, stream } = data as unknown as Pick<RawLine, 'line' | 'stream'>;
        sink.lines([{ app, time, stream, line }]);
      } else if (type === 'status') {
        const { state, status } = data as unknown as { state: string; status: string };
        sink.status(app, state, status, time);
      } else if (type === 'skipped') {
        sink.skipped(app, (data as unknown as { lines: number }).lines, time);
      }
    },
  );
}

export function openDeployment(id: number, sink: DeploymentSink): () => void {
  return hold(
    () => `${socketRoot()}ws/deployment/logs?deploymentId=${id}`,
    sink,
    () => sink.begin(),
    ({ type, timestamp, data }) => {
      if (type === 'status') sink.status(data as unknown as DeploymentStatus, timestamp);
      else if (type === 'log') sink.line((data as unknown as { line: string }).line, timestamp);
    },
  );
}

export function openMetrics(history: number, sink: MetricsSink): () => void {
  return hold(
    () => `${socketRoot()}ws/metrics?history=${history}`,
    sink,
    () => {},
    (message) => {
      if (message.type === undefined) sink.sample(message as unknown as Sample);
    },
  );
}
