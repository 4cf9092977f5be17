/** Several logs, read in one direction and merged by time. */

import { compareTimes } from '@mist/client';
import type { Entry } from './entry';
import type { Reel } from './reel';

/** As many answers may stay open for merged logs, because a user has a few readers only. */
const MOST_OPEN = 2;

/** Several logs as one, in one direction: each in its own order, the next line in time first. */
export class Reels<R extends Reel = Reel> {
  readonly reels: readonly R[];
  readonly #before: (a: Entry, b: Entry) => boolean;

  constructor(reels: readonly R[], order: 'asc' | 'desc') {
    // Of the same time, the lines of the first log come first when read forwards.
    this.reels = order === 'asc' ? reels : [...reels].reverse();
    this.#before =
      order === 'asc'
        ? (a, b) => compareTimes(a.time, b.time) < 0
        : (a, b) => compareTimes(a.time, b.time) > 0;
  }

  /** Return true if all was taken. */
  get ended(): boolean {
    return this.reels.every((reel) => reel.head === undefined && reel.exhausted);
  }

  get problem(): string {
    return this.reels.find(({ head, problem }) => head === undefined && problem)?.problem ?? '';
  }

  /** The time back to which all logs were read and taken, or "" if that is not known. */
  get reached(): string {
    const open = this.reels.filter((reel) => reel.head !== undefined || !reel.exhausted);
    const times = open.map(({ head, reached }) => head?.time ?? reached).sort();
    return times.includes('') ? '' : (times.at(-1) ?? '');
  }

  /**
   * Return so many entries, fewer only at the end or in front of a problem, or if `ready` asks
   * only for those that need not be waited for. An entry is returned once no log can have one
   * that precedes it.
   */
  async take(count: number, signal: AbortSignal, ready = false): Promise<Entry[]> {
    const taken: Entry[] = [];
    while (taken.length < count) {
      const empty = this.reels.filter((reel) => reel.head === undefined && !reel.exhausted);
      if (empty.length > 0) {
        if (ready && taken.length > 0) break;
        await this.#fill(empty, signal);
        if (this.problem !== '') break;
      }
      const next = this.#next();
      if (next === undefined) break;
      taken.push(next.shift());
    }
    return taken;
  }

  close(): void {
    for (const reel of this.reels) reel.close();
  }

  async #fill(empty: readonly R[], signal: AbortSignal): Promise<void> {
    const alone = this.reels.length === 1;
    if (this.reels.length <= MOST_OPEN) {
      await Promise.all(empty.map((reel) => reel.fill(signal, alone)));
      return;
    }
    for (const reel of empty) {
      await reel.fill(signal, alone);
      reel.close();
    }
  }

  #next(): R | undefined {
    let next: R | undefined;
    for (const reel of this.reels) {
      const { head } = reel;
      if (head === undefined) continue;
      if (next?.head === undefined || this.#before(head, next.head)) next = reel;
    }
    return next;
  }
}
