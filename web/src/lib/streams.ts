/** The streams of the service, as the page listens to them. */

import { socketRoot } from './base';
import type { RawLine } from './log/entry';

export type StreamState = 'connecting' | 'live' | 'reconnecting' | 'ended' | 'failed';

export interface LogSink {
  state(state: StreamState, reason: string, code: number): void;
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

interface Message {
  type: string;
  timestamp: string;
  data: { line: string; stream: 'stdout' | 'stderr'; state: string; status: string; lines: number; message: string };
}

export function openLogs(apps: readonly number[], options: LogOptions, sink: LogSink): () => void {
  const app = apps[0] as number;
  let since = options.since[app] ?? '';
  let closed = false;
  let socket: WebSocket;
  let reason = '';
  let ended = false;
  const connect = (again: boolean) => {
    const query = since ? `since=${encodeURIComponent(since)}` : `tail=${options.tail}`;
    socket = new WebSocket(`${socketRoot()}ws/container/logs?appId=${app}&${query}&stopped=1`);
    socket.onopen = () => {
      sink.state('live', '', 0);
      if (again) sink.resumed();
    };
    socket.onmessage = ({ data }) => {
      const { type, timestamp: time, data: body } = JSON.parse(data as string) as Message;
      if (type === 'log') {
        since = time;
        sink.lines([{ app, time, stream: body.stream, line: body.line }]);
      } else if (type === 'status') sink.status(app, body.state, body.status, time);
      else if (type === 'skipped') sink.skipped(app, body.lines, time);
      else if (type === 'error') reason = body.message;
      else if (type === 'end') ended = true;
    };
    socket.onclose = ({ code }) => {
      if (closed) return;
      if (ended) sink.state('ended', 'Log stream ended', code);
      else if (code >= 4000) sink.state('failed', reason, code);
      else {
        sink.state('reconnecting', reason, code);
        setTimeout(() => !closed && connect(true), 500);
      }
    };
  };
  sink.state('connecting', '', 0);
  connect(false);
  return () => {
    closed = true;
    socket.close();
  };
}
