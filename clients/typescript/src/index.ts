/** The public interface of `@mist/client`. */

export { ApiError } from './api-error.ts';
export type * from './container-types.ts';
export { containers } from './containers.ts';
export { deployment } from './deployment.ts';
export { nextBatch } from './environment.ts';
export { type Call, type Client, createClient } from './http.ts';
export { containerLogs } from './logs.ts';
export { mergeLogs } from './merge.ts';
export { metrics } from './metrics.ts';
export type { OlderLines, OlderLinesEnd, OlderLinesOptions } from './older.ts';
export type * from './records.ts';
export { containerStats } from './stats.ts';
export { StreamError } from './stream.ts';
export { compareTimes, earlier } from './time.ts';
export type * from './types.ts';
