/** The lines that a view holds: a queue bounded in lines and in characters. */

import type { Entry } from './entry';

export interface Bounds {
  readonly lines: number;
  readonly chars: number;
}

/** The bounds of one log in a page: 100,000 lines and 64 Mi characters. */
export const BOUNDS: Bounds = { lines: 100_000, chars: 64 * 1024 * 1024 };

/** Marks between two lines are spread out when less room than this is left between them. */
const CLOSE = 2 ** -8;

/** Freed slots at the front are cut off at once when there are this many. */
const COMPACT = 8192;

export class LogBuffer {
  #entries: (Entry | undefined)[] = [];
  #first = 0;
  #chars = 0;
  #top = 0;
  readonly #bounds: Bounds;

  constructor(bounds: Bounds = BOUNDS) {
    this.#bounds = bounds;
  }

  get length(): number {
    return this.#entries.length - this.#first;
  }

  at(index: number): Entry | undefined {
    return index < 0 ? undefined : this.#entries[this.#first + index];
  }

  get newest(): Entry | undefined {
    return this.at(this.length - 1);
  }

  /** A position behind all entries that there have been. */
  get end(): number {
    return this.#top + 1;
  }

  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      this.#entries.push(entry);
      this.#chars += size(entry);
    }
    this.#top = Math.max(this.#top, entries[entries.length - 1]?.order ?? 0);
  }

  /** Insert a mark at its time; return false if that is before every entry, or in a hole. */
  insert(mark: Entry): boolean {
    if (mark.ms < (this.at(0)?.ms ?? mark.ms)) return false;
    let index = this.length;
    while (index > 0 && (this.at(index - 1) as Entry).ms > mark.ms) index -= 1;
    if (index === 0 && this.length > 0) return false;
    if (this.at(index)?.kind === 'hole' || this.at(index - 1)?.kind === 'hole') return false;
    if (index === this.length) {
      mark.order = this.end;
      this.append([mark]);
      return true;
    }
    this.#entries.splice(this.#first + index, 0, mark);
    this.#chars += size(mark);
    this.#place(index);
    return true;
  }

  /** Give a mark a position between its neighbours. */
  #place(index: number): void {
    const order = (at: number) => (this.at(at) as Entry).order;
    let [before, after] = [index - 1, index + 1];
    if (order(after) - order(before) < CLOSE) {
      while (before > 0 && isMark(this.at(before))) before -= 1;
      while (after < this.length - 1 && isMark(this.at(after))) after += 1;
    }
    const low = order(before);
    const step = (order(after) - low) / (after - before);
    for (let at = before + 1; at < after; at++) {
      (this.at(at) as Entry).order = low + step * (at - before);
    }
  }

  /** Insert entries before the entry at an index, or after all. */
  insertAt(index: number, entries: readonly Entry[]): void {
    const held = this.snapshot();
    this.#entries = [...held.slice(0, index), ...entries, ...held.slice(index)];
    this.#first = 0;
    for (const entry of entries) this.#chars += size(entry);
  }

  /** Drop the entries between two indices. */
  remove(from: number, to: number): void {
    for (const entry of this.#entries.splice(this.#first + from, to - from)) {
      this.#chars -= size(entry as Entry);
    }
  }

  /** How many times the bounds are exceeded: 1 or less if they are not. */
  get fill(): number {
    return Math.max(this.length / this.#bounds.lines, this.#chars / this.#bounds.chars);
  }

  /** Drop the oldest entries beyond `factor` times the bounds; return how many. */
  trim(factor = 1): number {
    const { lines, chars } = this.#bounds;
    let dropped = 0;
    while (this.length > 1 && (this.length > lines * factor || this.#chars > chars * factor)) {
      this.#drop();
      dropped += 1;
    }
    return dropped;
  }

  /** Drop everything before a place. */
  dropBefore(order: number): void {
    while (this.length > 0 && (this.at(0) as Entry).order < order) this.#drop();
  }

  /** Return the index of the first entry at or after a place. */
  indexOf(order: number): number {
    return lowerBound(this.length, (index) => (this.at(index) as Entry).order < order);
  }

  has(entry: Entry): boolean {
    return this.at(this.indexOf(entry.order)) === entry;
  }

  /** Return the current entries, for iteration while new ones arrive. */
  snapshot(): Entry[] {
    return this.#entries.slice(this.#first) as Entry[];
  }

  *[Symbol.iterator](): Generator<Entry> {
    for (let index = this.#first; index < this.#entries.length; index++) {
      yield this.#entries[index] as Entry;
    }
  }

  #drop(): void {
    this.#chars -= size(this.#entries[this.#first] as Entry);
    this.#entries[this.#first] = undefined;
    this.#first += 1;
    if (this.#first >= COMPACT && this.#first * 2 >= this.#entries.length) {
      this.#entries = this.#entries.slice(this.#first);
      this.#first = 0;
    }
  }
}

const isMark = (entry: Entry | undefined) =>
  entry !== undefined && entry.kind !== 'line' && entry.kind !== 'hole';

/** A line and its object; a JSON line is held twice, as it came and as it is shown. */
function size({ raw, text }: Entry): number {
  return raw === text ? raw.length : raw.length + text.length;
}

/** Return the first index for which `before` is false. */
export function lowerBound(length: number, before: (index: number) => boolean): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (before(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}
