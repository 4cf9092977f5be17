/** Move within a log, loading older lines where the reader goes. */

import type { Entry } from './entry';
import type { History } from './history.svelte';
import type { LogList } from './list';
import type { LogStream } from './stream.svelte';
import type { LogView } from './view';

/** Lines are loaded when the reader is this many rows away from where they are missing. */
const NEAR_ROWS = 150;
/** The requests for one movement: with a narrow filter, a page may bring no visible row. */
const MOST_PAGES = 25;

/** A log on the screen. */
export interface Shown {
  readonly stream: LogStream;
  readonly list: LogList;
}

const approaching = new WeakSet<History>();

/** Load lines as long as the reader is near the first line or a hole. */
export async function approach({ stream, list }: Shown): Promise<void> {
  const { history, view } = stream;
  if (approaching.has(history)) return;
  approaching.add(history);
  try {
    for (let pages = 0; pages < MOST_PAGES; pages++) {
      await settled(view);
      const wanted = missing(history, view, list);
      if (wanted === null) return;
      const before = state(stream);
      await wanted();
      if (history.problem !== '' || state(stream) === before) return;
      // The position is corrected when the new rows are painted.
      await painted();
    }
  } finally {
    approaching.delete(history);
  }
}

const state = ({ buffer, history }: LogStream): string =>
  `${buffer.at(0)?.order} ${buffer.length} ${history.hole?.order} ${history.begins}`;

function missing(history: History, view: LogView, list: LogList): (() => Promise<void>) | null {
  const [first, last] = list.range;
  const { start } = history;
  const begin = start === undefined ? 0 : view.rows.indexOf(start.order);
  if (first - begin < NEAR_ROWS && !history.begins) return () => history.older();
  if (history.hole === null) return null;
  const hole = view.rows.indexOf(history.hole.order);
  const near = hole - last < NEAR_ROWS && first - hole < NEAR_ROWS;
  return near ? () => history.newer() : null;
}

/** Go to the first line that the engine has. */
export async function toBeginning({ stream, list }: Shown): Promise<void> {
  list.top();
  const before = stream.buffer.at(0);
  await stream.history.toBeginning();
  // Otherwise the reader is there, and may have moved on.
  if (stream.buffer.at(0) === before) return;
  await settled(stream.view);
  list.top();
  stream.history.arrived();
}

/** Go to the line with a time, or to the first later one; return it, or null if there is none. */
export async function toTime({ stream, list }: Shown, time: string): Promise<Entry | null> {
  const { view, history } = stream;
  list.hold();
  const found = await history.show(time);
  if (found === null) return null;
  await settled(view);
  // A filter may hide the line.
  list.reveal(view.rows.at(view.rows.indexOf(found.order)) ?? found);
  history.arrived();
  return found;
}

/** Wait until a new arrangement of the lines is complete. */
async function settled(view: LogView): Promise<void> {
  while (view.busy) await new Promise((resolve) => setTimeout(resolve, 10));
}

function painted(): Promise<void> {
  return new Promise((resolve) =>
    requestAnimationFrame(() => requestAnimationFrame(() => resolve())),
  );
}

/** Return milliseconds as a time of the engine's form, whose order as text is that in time. */
export function timeAt(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 23)}000000Z`;
}
