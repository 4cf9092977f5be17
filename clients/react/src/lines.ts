/** The newest lines of a log, up to the number that a page may hold. */

import type { LogLine } from '@mist/client';

const MOST_LINES = 10_000;

export interface LinesView {
  /** The texts of the newest lines, oldest first. */
  readonly logs: string[];
  /** The same lines with their times and streams. */
  readonly lines: readonly LogLine[];
  /** How many older lines were dropped: `dropped + index` is a key for a line. */
  readonly dropped: number;
}

export interface LinesOptions {
  /** The number of lines to keep; 10,000 by default. */
  readonly maxLines?: number;
}

export const NO_LINES: LinesView = { logs: [], lines: [], dropped: 0 };

/** Append lines to those of a view and drop the oldest beyond the limit. */
export function appendLines(
  view: LinesView,
  added: readonly LogLine[],
  { maxLines }: LinesOptions,
): LinesView {
  const lines = appendNewest(view.lines, added, maxLines ?? MOST_LINES);
  const texts = added.map(({ line }) => line);
  const logs = appendNewest(view.logs, texts, maxLines ?? MOST_LINES);
  const dropped = view.dropped + view.lines.length + added.length - lines.length;
  return { logs, lines, dropped };
}

export function appendNewest<T>(list: readonly T[], added: readonly T[], most: number): T[] {
  const all = [...list, ...added];
  return all.slice(Math.max(0, all.length - Math.max(0, most)));
}
