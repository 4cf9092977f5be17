/** The geometry of a line chart over time. */

/** The distances between the ticks of a time axis, in seconds. */
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 86_400];

export type Range = readonly [number, number];
type Value = number | null;

/** Return the places of at most `most` ticks on a time axis, on round seconds. */
export function timeTicks([from, to]: Range, most: number): number[] {
  const wanted = (to - from) / Math.max(1, most);
  const step = TIME_STEPS.find((each) => each >= wanted) ?? 86_400;
  return steps(from, to, step);
}

/** Return the places of at most `most` ticks from 0: multiples of 1, 2 or 5 times a power of ten. */
export function valueTicks(to: number, most: number, unit: 1 | 1024 = 1): number[] {
  // Bytes are round in the unit that they are written in.
  const scale = unit === 1 || to < 1 ? 1 : unit ** Math.floor(Math.log(to) / Math.log(unit));
  const wanted = to / scale / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = ([1, 2, 5].find((each) => each * power >= wanted) ?? 10) * power;
  return Number.isFinite(step) && step > 0 ? steps(0, to, step * scale) : [0];
}

function steps(from: number, to: number, step: number): number[] {
  const first = Math.ceil(from / step - 1e-9);
  const count = Math.max(0, Math.floor(to / step + 1e-9) - first + 1);
  return Array.from({ length: count }, (_, i) => (first + i) * step);
}

/** Return the index of the time that is nearest; -1 if there is none. */
export function nearest(times: readonly number[], time: number): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((times[middle] as number) < time) low = middle + 1;
    else high = middle;
  }
  const after = times[low];
  const before = times[low - 1];
  if (after === undefined) return low - 1;
  return before !== undefined && time - before <= after - time ? low - 1 : low;
}

/** Return the first and the last time, or an empty minute if there is none. */
export function wholeRange(times: readonly number[]): Range {
  const [from, to] = [times[0] ?? 0, times[times.length - 1] ?? 0];
  return [from, to > from ? to : from + 60];
}

/** Return the value at the top of a chart: a tenth above the largest one in sight. */
export function topOf(
  times: readonly number[],
  values: readonly Value[],
  [from, to]: Range,
): number {
  let most = 0;
  for (const [i, value] of values.entries()) {
    const time = times[i] as number;
    if (value !== null && value > most && time >= from && time <= to) most = value;
  }
  return most > 0 ? most * 1.1 : 1;
}
