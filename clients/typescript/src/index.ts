/** The public interface of `@mist/client`. */

import type {
  ContainerLogs,
  ContainerLogsOptions,
  DeploymentOptions,
  DeploymentStream,
  MergedLogs,
  MergeOptions,
  MetricsOptions,
  MetricsStream,
} from './types.ts';

export { ApiError, type Client, createClient } from './http.ts';
export type * from './records.ts';
export type * from './types.ts';

/** Follow the log of an application's container; connects at once. */
export function containerLogs(_options: ContainerLogsOptions): ContainerLogs {
  throw new Error('not written yet');
}

/** Follow a deployment from the beginning of its log to its end. */
export function deployment(_options: DeploymentOptions): DeploymentStream {
  throw new Error('not written yet');
}

/** Follow the host's metrics. */
export function metrics(_options: MetricsOptions = {}): MetricsStream {
  throw new Error('not written yet');
}

/** Merge several logs by engine time; the keys become the lines' `source`. */
export function mergeLogs(
  _logs: Readonly<Record<string, ContainerLogs>>,
  _options: MergeOptions = {},
): MergedLogs {
  throw new Error('not written yet');
}

/** Compare two RFC 3339 times (UTC) to the nanosecond, as `Array.prototype.sort` takes it. */
export function compareTimes(_a: string, _b: string): number {
  throw new Error('not written yet');
}
