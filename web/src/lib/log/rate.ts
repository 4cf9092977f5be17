/** Lines per bucket of time, stacked by level, for the strip above a log. */

import { pause } from '../pause';
import type { Entry } from './entry';
import { LEVELS, type Level } from './level';

export interface Bucket {
  readonly from: number;
  readonly counts: Readonly<Record<Level, number>>;
  readonly total: number;
}

export interface Rate {
  readonly from: number;
  readonly to: number;
  readonly step: number;
  readonly buckets: readonly Bucket[];
  readonly most: number;
  readonly marks: readonly Entry[];
}

/** Widths of a bucket, in milliseconds: units that people use. */
const STEPS = [
  100, 250, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000,
  1_800_000, 3_600_000, 7_200_000, 21_600_000, 43_200_000, 86_400_000,
];

/** Entries that are counted between two pauses: less than a millisecond's work. */
const CHUNK = 10_000;

/** Count entries in at most `most` buckets; null when there are none. */
export async function rateOf(entries: readonly Entry[], most: number): Promise<Rate | null> {
  let from = Number.POSITIVE_INFINITY;
  let to = Number.NEGATIVE_INFINITY;
  for (const chunk of chunks(entries)) {
    for (const { ms } of chunk) {
      if (ms < from) from = ms;
      if (ms > to) to = ms;
    }
    if (chunk.length === CHUNK) await pause();
  }
  if (!Number.isFinite(from) || !Number.isFinite(to)) return null;
  const step = STEPS.find((each) => (to - from) / each < most - 1) ?? Math.ceil((to - from) / most);
  const first = Math.floor(from / step) * step;
  const length = Math.floor((to - first) / step) + 1;
  const counts = LEVELS.map(() => new Uint32Array(length));
  const marks: Entry[] = [];
  for (const chunk of chunks(entries)) {
    for (const entry of chunk) {
      if (entry.kind !== 'line') {
        marks.push(entry);
        continue;
      }
      const bucket = Math.floor((entry.ms - first) / step);
      const row = counts[LEVELS.indexOf(entry.level)] as Uint32Array;
      row[bucket] = (row[bucket] as number) + 1;
    }
    if (chunk.length === CHUNK) await pause();
  }
  const buckets = Array.from({ length }, (_, i) => bucketAt(counts, i, first + i * step));
  const highest = buckets.reduce((top, { total }) => Math.max(top, total), 0);
  return { from: first, to: first + length * step, step, buckets, most: highest, marks };
}

function* chunks(entries: readonly Entry[]): Generator<readonly Entry[]> {
  for (let i = 0; i < entries.length; i += CHUNK) yield entries.slice(i, i + CHUNK);
}

function bucketAt(counts: readonly Uint32Array[], index: number, from: number): Bucket {
  const each = LEVELS.map((level, i) => [level, counts[i]?.[index] ?? 0] as const);
  return {
    from,
    counts: Object.fromEntries(each) as Record<Level, number>,
    total: each.reduce((sum, [, count]) => sum + count, 0),
  };
}
