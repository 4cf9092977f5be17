/**
 * The lines that a log view holds: one run up to the live end, or what is read and the live
 * end. Between those is a mark, the hole.
 */

import { earlier } from '@mist/client';
import type { LogBuffer } from './buffer';
import { type Entry, markEntry } from './entry';
import { type Line, MARGIN_MS } from './join';
import type { LogView } from './view';

/**
 * The distance between the positions of what is read and of the live end. Any number of lines
 * fits into the hole. After thousands of holes, positions are still precise enough for marks
 * between two lines.
 */
const ROOM = 2 ** 30;
const HOLE = 'Newer lines follow here. They are loaded as you scroll';

export class Held {
  readonly buffer: LogBuffer;
  /** The mark in front of lines that are not loaded, if there is one. */
  hole: Entry | null = null;
  readonly #view: LogView;
  readonly #dropped = new Map<number, number>();
  /** How often lines that were connected with the live end have lost that connection. */
  #cuts = 0;

  constructor(buffer: LogBuffer, view: LogView) {
    this.buffer = buffer;
    this.#view = view;
  }

  /** The index of the first live entry. */
  get live(): number {
    return this.hole === null ? 0 : this.buffer.indexOf(this.hole.order) + 1;
  }

  /** A number that grows when lines of a log are no longer among the live ones. */
  dropped(source: number): number {
    return this.#cuts + (this.#dropped.get(source) ?? 0);
  }

  /** Return the first line at or after an index, unless the hole comes before it. */
  lineFrom(index: number): Entry | undefined {
    for (let at = index; at < this.buffer.length; at++) {
      const entry = this.buffer.at(at) as Entry;
      if (entry.kind === 'line') return entry;
      if (entry === this.hole) return undefined;
    }
    return undefined;
  }

  /** The last line before the hole. */
  get lastRead(): Entry | undefined {
    for (let at = this.live - 2; at >= 0; at--) {
      const entry = this.buffer.at(at) as Entry;
      if (entry.kind === 'line') return entry;
    }
    return undefined;
  }

  /** The lines of a log from an index on, up to the hole. */
  *lines(source: number, from: number): Generator<Line> {
    for (let at = from; at < this.buffer.length; at++) {
      const entry = this.buffer.at(at) as Entry;
      if (entry === this.hole) return;
      if (entry.kind === 'line' && entry.app === source) yield lineOf(entry);
    }
  }

  /** The newest lines of a log before the hole, as far as they may be out of time order. */
  newestRead(source: number): Line[] {
    const found: Line[] = [];
    let far = '';
    for (let at = this.live - 2; at >= 0; at--) {
      const entry = this.buffer.at(at) as Entry;
      if (entry.kind !== 'line' || entry.app !== source) continue;
      far ||= earlier(entry.time, 2 * MARGIN_MS);
      if (entry.time < far) break;
      found.push(lineOf(entry));
    }
    return found.reverse();
  }

  /** Return the line with a time, or the first later one. */
  find(time: string): Entry | null {
    const ms = Date.parse(time);
    let later: Entry | null = null;
    for (const entry of this.buffer) {
      if (entry.time === time && entry.kind === 'line') return entry;
      if (later === null && entry.kind === 'line' && entry.ms >= ms) later = entry;
    }
    return later;
  }

  inHole(time: string): boolean {
    if (this.hole === null) return false;
    const last = this.lastRead;
    const next = this.lineFrom(this.live);
    return (last === undefined || time > last.time) && (next === undefined || time < next.time);
  }

  /** Insert entries before all held ones, or in front of the hole. */
  insert(index: number, entries: Entry[]): void {
    if (entries.length === 0) return;
    const before = this.buffer.at(index - 1);
    const after = this.buffer.at(index);
    let order = (after?.order ?? 0) - entries.length;
    if (before !== undefined) order = before.order + 1;
    else if (after?.kind === 'hole') order -= ROOM;
    for (const [at, entry] of entries.entries()) entry.order = order + at;
    this.buffer.insertAt(index, entries);
    this.#view.insert(entries);
  }

  remove(from: number, to: number): void {
    if (to <= from) return;
    const first = (this.buffer.at(from) as Entry).order;
    const end = this.buffer.at(to)?.order ?? Number.POSITIVE_INFINITY;
    for (let at = Math.max(from, this.live); at < to; at++) {
      const { kind, app } = this.buffer.at(at) as Entry;
      if (kind === 'line') this.#dropped.set(app, (this.#dropped.get(app) ?? 0) + 1);
    }
    this.buffer.remove(from, to);
    this.#view.remove(first, end);
  }

  /** Put a hole in the place of entries. */
  cut(from: number, to: number): void {
    this.remove(from, to);
    if (this.hole !== null) return;
    if (from > 0) this.#cuts += 1;
    // More lines may come back than were removed: those that had been skipped.
    for (let at = 0; at < from; at++) (this.buffer.at(at) as Entry).order -= ROOM;
    const last = this.buffer.at(from - 1);
    const next = this.buffer.at(from);
    const time = last?.time ?? next?.time ?? '';
    this.hole = markEntry((next?.order ?? 0) - 0.5, 'hole', time, HOLE);
    this.buffer.insertAt(from, [this.hole]);
    this.#view.insert([this.hole]);
  }

  closeHole(): void {
    const at = this.live - 1;
    this.hole = null;
    this.remove(at, at + 1);
  }
}

export const lineOf = ({ time, stream, raw }: Entry): Line => ({ time, stream, line: raw });
