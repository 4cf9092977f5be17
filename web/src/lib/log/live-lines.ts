/**
 * The live lines of merged logs, and where they begin. Each log begins with its last lines,
 * which go back to different times, and one that is slow to begin comes behind lines of others
 * that are newer.
 */

import { compareTimes } from '@mist/client';
import type { LogBuffer } from './buffer';
import type { Entry } from './entry';

/** How far the beginning is looked at. */
const BEGINNING = 20_000;

/** A log's first line that came live, and the time of the newest one. */
interface Seen {
  readonly first: Entry;
  newest: string;
}

export class LiveLines {
  readonly #buffer: LogBuffer;
  readonly #seen = new Map<number, Seen>();
  /** The last entry before the border, as long as the buffer begins like this. */
  #looked: { first: Entry | undefined; length: number; last: Entry | undefined } | null = null;

  constructor(buffer: LogBuffer) {
    this.#buffer = buffer;
  }

  /** Note a line; return true if it is the first one of its log. */
  note(entry: Entry): boolean {
    const { app, time } = entry;
    const seen = this.#seen.get(app);
    if (seen === undefined) this.#seen.set(app, { first: entry, newest: time });
    else if (time > seen.newest) seen.newest = time;
    return seen === undefined;
  }

  knows(source: number): boolean {
    return this.#seen.has(source);
  }

  /** The time of a log's newest line, or "". */
  newest(source: number): string {
    return this.#seen.get(source)?.newest ?? '';
  }

  /** The index from which on the held lines are complete and in order. */
  border(): number {
    const first = this.#buffer.at(0);
    const length = Math.min(this.#buffer.length, BEGINNING);
    if (this.#looked?.first !== first || this.#looked?.length !== length) {
      this.#looked = { first, length, last: this.#lastEarly(length) };
    }
    const { last } = this.#looked;
    return last === undefined ? 0 : this.#buffer.indexOf(last.order) + 1;
  }

  #lastEarly(length: number): Entry | undefined {
    let border = 0;
    const newest = new Map<number, string>();
    for (let at = 0; at < length; at++) {
      const entry = this.#buffer.at(at) as Entry;
      const { kind, app, time } = entry;
      if (kind !== 'line') continue;
      if (this.#seen.get(app)?.first === entry) border = at;
      for (const [other, past] of newest) {
        if (other !== app && compareTimes(time, past) < 0) border = at + 1;
      }
      if (time > (newest.get(app) ?? '')) newest.set(app, time);
    }
    return this.#buffer.at(border - 1);
  }
}
