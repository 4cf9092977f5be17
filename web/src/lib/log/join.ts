/**
 * Join older and newer lines to those that are held, so that none is missing or repeated.
 *
 * An answer of the service overlaps the held lines. Time stamps do not say where: lines of
 * stdout and stderr have them slightly out of order, and a range leaves out single lines
 * near its border. So the place is found by the lines themselves: time, stream and text.
 */

import { compareTimes, earlier, type LogLine } from '@mist/client';

/** Lines are out of time order by less than this, in milliseconds. */
export const MARGIN_MS = 1000;

/** As many held lines are compared at most: those of MARGIN_MS at 10,000 lines a second. */
const COMPARED = 20_000;

/** Held lines, in the form of a LogLine. */
export type Line = Pick<LogLine, 'time' | 'stream' | 'line'>;

export const same = (a: Line | undefined, b: Line | undefined): boolean =>
  a !== undefined &&
  b !== undefined &&
  a.time === b.time &&
  a.stream === b.stream &&
  a.line === b.line;

/**
 * Return the index in `answer` at which the held lines begin, or -1. From there on, both agree
 * as far as both go: either may end earlier, because lines are written meanwhile.
 */
export function overlap(answer: readonly Line[], held: readonly Line[]): number {
  let best = -1;
  const likely = answer.length - held.length;
  for (let at = 0; at < answer.length; at++) {
    // If a line and its time occur twice, most probably both end with the same line.
    if (best >= 0 && Math.abs(at - likely) >= Math.abs(best - likely)) continue;
    if (agree(answer, at, held)) best = at;
  }
  return best;
}

function agree(answer: readonly Line[], at: number, held: readonly Line[]): boolean {
  const common = Math.min(answer.length - at, held.length);
  for (let i = 0; i < common; i++) if (!same(answer[at + i], held[i])) return false;
  return common > 0;
}

/**
 * Return the lines of an answer that come before the held ones, both in the log's order.
 * `held` are the oldest held lines, as far as the requested range has them (`heldBefore`).
 */
export function linesBefore<L extends Line>(answer: readonly L[], held: readonly Line[]): L[] {
  const first = held[0];
  if (first === undefined) return [...answer];
  const at = overlap(answer, held);
  if (at >= 0) return answer.slice(0, at);
  // The border of a range has cut single lines out, or the engine has dropped the line.
  const place = answer.findIndex((each) => same(each, first));
  const far = place < 0 ? '' : earlier(first.time, -MARGIN_MS);
  const end = answer.findIndex(({ time }, i) => i > place && far !== '' && time >= far);
  const near = answer.slice(Math.max(0, place), end < 0 ? answer.length : end);
  const cut = unknown(near, held).filter(({ time }) => compareTimes(time, first.time) < 0);
  return [...answer.slice(0, Math.max(0, place)), ...cut];
}

/**
 * Return the lines of an answer that come after the held ones. `held` are the newest ones from
 * where the answer begins (`heldSince`), and `all` those of the requested range: out of time
 * order, some may come before that.
 */
export function linesAfter<L extends Line>(
  answer: readonly L[],
  held: readonly Line[],
  all: readonly Line[] = held,
): L[] {
  const [first, last] = [held[0], held.at(-1)];
  if (first === undefined || last === undefined) return [...answer];
  const at = overlap([...answer].reverse(), [...held].reverse());
  if (at >= 0) return answer.slice(answer.length - at);
  const place = answer.findLastIndex((each) => same(each, last));
  const end = place < 0 ? answer.length : place + 1;
  const cut = unknown(answer.slice(0, end), all);
  return [...cut.filter(({ time }) => compareTimes(time, first.time) >= 0), ...answer.slice(end)];
}

/** Return the lines that are not held, each as often as it is missing. */
export function unknown<L extends Line>(answer: readonly L[], held: readonly Line[]): L[] {
  const left = new Map<string, number>();
  const key = ({ time, stream, line }: Line) => `${time} ${stream} ${line}`;
  for (const each of held) left.set(key(each), (left.get(key(each)) ?? 0) + 1);
  return answer.filter((each) => {
    const count = left.get(key(each)) ?? 0;
    if (count > 0) left.set(key(each), count - 1);
    return count === 0;
  });
}

/** The part of a log that a request asks for; "" means no limit. */
export interface Range {
  readonly since: string;
  readonly until: string;
}

/**
 * Return the first held lines, as far as all of them are before a time. A range up to that time
 * has them, and between them nothing else, whichever containers it cuts.
 */
export function heldBefore(held: Iterable<Line>, until: string): Line[] {
  const found: Line[] = [];
  for (const each of held) {
    if (until !== '' && compareTimes(each.time, until) >= 0) break;
    found.push(each);
    if (found.length >= COMPARED) break;
  }
  return found;
}

/** Return the last held lines, as far as none of them is before a time. */
export function heldSince(held: readonly Line[], since: string): Line[] {
  return held.slice(held.findLastIndex(({ time }) => compareTimes(time, since) < 0) + 1);
}
