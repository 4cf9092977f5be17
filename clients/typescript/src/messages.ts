/** Parse the service's messages, tolerating those that a later version may add or change. */

import type { Message } from './link.ts';
import type { ContainerStatus, ErrorEvent, LogLine } from './types.ts';

export function timeOf(message: Message): string {
  return typeof message.timestamp === 'string' ? message.timestamp : '';
}

/** Return the `data` of a message, or an empty object if it is not an object. */
export function dataOf(message: Message): Readonly<Record<string, unknown>> {
  const { data } = message;
  return typeof data === 'object' && data !== null ? (data as Record<string, unknown>) : {};
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

export function countOf(value: unknown): number {
  return typeof value === 'number' && value > 0 ? value : 0;
}

/** Return a number, or null for anything else. */
export function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

/** Return the line of a `log` message, or null if there is none. */
export function lineOf(message: Message): LogLine | null {
  const { line, stream, pos } = dataOf(message);
  if (typeof line !== 'string') return null;
  const found = { time: timeOf(message), stream: stream === 'stderr' ? 'stderr' : 'stdout', line };
  return (typeof pos === 'string' ? { ...found, pos } : found) as LogLine;
}

export function errorOf(message: Message): ErrorEvent {
  return { type: 'error', time: timeOf(message), message: textOf(dataOf(message).message) };
}

export function containerStatusOf(message: Message): ContainerStatus {
  const { container, state, status, ...more } = dataOf(message);
  return { ...more, container: textOf(container), state: textOf(state), status: textOf(status) };
}
