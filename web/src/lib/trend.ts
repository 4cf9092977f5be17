/** What a container used during the last minutes, for its row in a table. */

import type { Usage } from '@mist/client';

/** The time that a sparkline shows, in seconds. */
export const SPAN_S = 120;
/** Figures to sort by are the mean of this time, so that rows do not jump with every spike. */
const SMOOTH_S = 10;
/** A longer time without a sample is a gap in the line. */
const GAP_S = 5;

type Figure = number | null;

export interface Trend {
  /** Seconds of the service's clock, ascending. */
  readonly times: readonly number[];
  readonly cpu: readonly Figure[];
  readonly memory: readonly Figure[];
  readonly latest: Usage;
}

/** Return a trend with one more sample. */
export function grown(trend: Trend | undefined, time: number, latest: Usage): Trend {
  // A clock that was set back would let the line go back, too.
  const kept = trend !== undefined && time > (trend.times.at(-1) ?? 0) ? trend : undefined;
  const start = kept?.times.findIndex((each) => each > time - SPAN_S - GAP_S) ?? -1;
  const more = <T>(values: readonly T[] | undefined, value: T) =>
    values === undefined || start < 0 ? [value] : [...values.slice(start), value];
  return {
    times: more(kept?.times, time),
    cpu: more(kept?.cpu, latest.cpu_percent),
    memory: more(kept?.memory, latest.memory_used),
    latest,
  };
}

/** Return the mean of the newest figures; null if there are none. */
export function smooth(trend: Trend | undefined, key: 'cpu' | 'memory'): Figure {
  if (trend === undefined) return null;
  const since = (trend.times.at(-1) ?? 0) - SMOOTH_S;
  const recent = trend[key].filter((_, i) => (trend.times[i] as number) > since);
  const known = recent.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, each) => sum + each, 0) / known.length;
}

export interface Box {
  readonly width: number;
  readonly height: number;
  /** The value at the top, unless there is a larger one. */
  readonly top: number;
}

/** Return the path of a line through the values, the newest of which is at the right edge. */
export function linePath(
  times: readonly number[],
  values: readonly Figure[],
  { width, height, top }: Box,
): string {
  const end = times.at(-1) ?? 0;
  const most = values.reduce<number>((found, each) => Math.max(found, each ?? 0), top) || 1;
  let path = '';
  let before = Number.NEGATIVE_INFINITY;
  for (const [i, time] of times.entries()) {
    const value = values[i];
    if (value === null || value === undefined || time < end - SPAN_S) continue;
    const x = width - ((end - time) / SPAN_S) * width;
    // Half a line's width remains at the top and at the bottom.
    const y = height - 0.75 - (Math.max(0, value) / most) * (height - 1.5);
    path += `${time - before > GAP_S ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`;
    before = time;
  }
  return path;
}
