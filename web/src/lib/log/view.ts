/**
 * Turn the lines of a buffer into visible rows by filters and search. It works in slices,
 * so that neither a hundred thousand lines nor a slow pattern blocks the page. While it
 * builds a new arrangement, the old one stays visible.
 */

import { pause } from '../pause';
import { LogBuffer } from './buffer';
import type { Entry } from './entry';
import { type Filter, passes } from './filter';
import { Rows } from './rows';
import { type Found, makeScanner, type Scanner } from './scanner';
import { NO_QUERY, type Query } from './search';

/** The number of lines to process between two looks at the clock. */
const CHUNK = 2000;
/** How long a slice may take: half a frame. */
const SLICE_MS = 8;

const UNBOUNDED = { lines: Number.POSITIVE_INFINITY, chars: Number.POSITIVE_INFINITY };

/** One arrangement of the lines: rows and matches, up to a position in the buffer. */
interface Arrangement {
  readonly rows: Rows;
  readonly matches: LogBuffer;
  readonly scanner: Scanner | null;
  readonly shown: (entry: Entry) => boolean;
  readonly query: Query;
  done: number;
  /** Lines before a hit that may still become its context, and how many follow the last one. */
  before: Entry[];
  after: number;
  busy: boolean;
}

export class LogView {
  readonly buffer: LogBuffer;
  /** Called when rows have changed; the argument says if all were arranged again. */
  onchange: (rearranged: boolean) => void = () => {};
  /** The error in the search, or "". */
  error = '';

  #shown: (entry: Entry) => boolean = () => true;
  #query: Query = NO_QUERY;
  #measure: (entry: Entry) => number = () => 1;
  #current: Arrangement;
  #next: Arrangement | null = null;
  #closed = false;

  constructor(buffer: LogBuffer) {
    this.buffer = buffer;
    this.#current = this.#arrange(null);
  }

  get rows(): Rows {
    return this.#current.rows;
  }

  get matches(): LogBuffer {
    return this.#current.matches;
  }

  get query(): Query {
    return this.#current.query;
  }

  /** True while a new arrangement is being built. */
  get busy(): boolean {
    return this.#next !== null;
  }

  setFilter(filter: Filter): void {
    this.setShown(passes(filter));
  }

  /** Show only entries that a predicate accepts; call `rebuild` if its answers have changed. */
  setShown(shown: (entry: Entry) => boolean): void {
    this.#shown = shown;
    this.rebuild();
  }

  setQuery(query: Query): void {
    this.#query = query;
    this.rebuild();
  }

  /** Use another function for heights. */
  setMeasure(measure: (entry: Entry) => number): void {
    this.#measure = measure;
    this.#current.rows.remeasure(measure);
    this.#next?.rows.remeasure(measure);
    this.onchange(false);
  }

  /** Add the new entries of the buffer. */
  grow(): void {
    void this.#advance(this.#next ?? this.#current);
  }

  /** Add runs of entries that were inserted into the buffer between or before others. */
  insert(...runs: readonly (readonly Entry[])[]): void {
    if (runs.length === 0) return;
    const current = this.#current;
    // What a search makes of a line depends on its neighbours, and what is being arranged
    // would miss them.
    if (this.#next !== null || current.busy || current.scanner !== null) {
      this.rebuild();
      return;
    }
    for (const run of runs) {
      const last = run[run.length - 1];
      if (last === undefined || last.order >= current.done) continue;
      current.rows.insert(run.filter(current.shown), this.#measure);
    }
    this.onchange(false);
    this.grow();
  }

  /** Remove the entries between two positions, which the buffer has dropped. */
  remove(from: number, to: number): void {
    for (const each of [this.#current, this.#next]) {
      each?.rows.dropBetween(from, to);
      if (each) each.matches.remove(each.matches.indexOf(from), each.matches.indexOf(to));
    }
    this.onchange(false);
  }

  /** Remove entries that the buffer has dropped. */
  shrink(): void {
    const oldest = this.buffer.at(0)?.order ?? Number.POSITIVE_INFINITY;
    for (const each of [this.#current, this.#next]) {
      each?.rows.dropBefore(oldest);
      each?.matches.dropBefore(oldest);
    }
    this.onchange(false);
  }

  /** Arrange everything again after a change of the filter, the search or earlier lines. */
  rebuild(): void {
    const scanner = makeScanner(this.#query);
    this.error = scanner !== null && 'error' in scanner ? scanner.error : '';
    this.#next?.scanner?.close();
    this.#next = this.#arrange(scanner !== null && 'error' in scanner ? null : scanner);
    void this.#advance(this.#next);
  }

  close(): void {
    this.#closed = true;
    this.#current.scanner?.close();
    this.#next?.scanner?.close();
    this.#next = null;
  }

  #arrange(scanner: Scanner | null): Arrangement {
    return {
      rows: new Rows(),
      matches: new LogBuffer(UNBOUNDED),
      scanner,
      shown: this.#shown,
      query: this.#query,
      done: Number.NEGATIVE_INFINITY,
      before: [],
      after: 0,
      busy: false,
    };
  }

  async #advance(into: Arrangement): Promise<void> {
    if (into.busy) return;
    into.busy = true;
    let began = performance.now();
    try {
      for (let chunk = this.#after(into.done); chunk.length > 0; chunk = this.#after(into.done)) {
        const lines = into.scanner ? chunk.filter((e) => e.kind === 'line' && into.shown(e)) : [];
        const scanned = into.scanner && lines.length > 0 ? into.scanner.scan(texts(lines)) : [];
        const waits = scanned instanceof Promise;
        const found = waits ? await scanned : scanned;
        if (this.#outdated(into)) return;
        // The buffer may have dropped lines meanwhile.
        const held = waits ? chunk.filter((each) => this.buffer.has(each)) : chunk;
        this.#take(into, held, lines, found);
        if (into === this.#current) this.onchange(false);
        if (performance.now() - began > SLICE_MS) {
          await pause();
          if (this.#outdated(into)) return;
          began = performance.now();
        }
      }
    } catch (error) {
      this.#fail(into, error);
      return;
    } finally {
      into.busy = false;
    }
    if (into === this.#next) this.#swap(into);
  }

  /** Return true for all arrangements but the newest, which alone may set the hits of lines. */
  #outdated(into: Arrangement): boolean {
    return this.#closed || into !== (this.#next ?? this.#current);
  }

  #swap(into: Arrangement): void {
    this.#current.scanner?.close();
    this.#current = into;
    this.#next = null;
    this.shrink();
    this.onchange(true);
  }

  /** Report a search that does not finish, and show the lines without it. */
  #fail(into: Arrangement, error: unknown): void {
    if (this.#outdated(into)) return;
    into.scanner?.close();
    this.#query = NO_QUERY;
    this.rebuild();
    this.error = error instanceof Error ? error.message : String(error);
    this.onchange(true);
  }

  #after(done: number): Entry[] {
    const { buffer } = this;
    let index = done === Number.NEGATIVE_INFINITY ? 0 : buffer.indexOf(done);
    if (buffer.at(index)?.order === done) index += 1;
    const chunk: Entry[] = [];
    for (; chunk.length < CHUNK; index++) {
      const entry = buffer.at(index);
      if (entry === undefined) break;
      chunk.push(entry);
    }
    return chunk;
  }

  #take(into: Arrangement, chunk: Entry[], lines: Entry[], found: Found): void {
    for (const [index, line] of lines.entries()) line.hits = found[index] ?? null;
    for (const entry of chunk) {
      into.done = entry.order;
      if (!into.shown(entry)) continue;
      if (into.scanner === null) entry.hits = null;
      if (into.scanner !== null && entry.kind === 'line') this.#place(into, entry);
      else into.rows.push(entry, this.#measure(entry));
    }
  }

  #place(into: Arrangement, entry: Entry): void {
    const { filter, invert, context } = into.query;
    const hit = (entry.hits !== null) !== invert;
    if (hit) into.matches.append([entry]);
    if (!filter || hit) {
      for (const each of into.before) this.#precede(into.rows, each);
      into.before = [];
      into.after = context;
      into.rows.push(entry, this.#measure(entry));
    } else if (into.after > 0) {
      into.after -= 1;
      into.rows.push(entry, this.#measure(entry));
    } else if (context > 0) {
      into.before.push(entry);
      if (into.before.length > context) into.before.shift();
    }
  }

  /** Show a line of the context, unless it was dropped; marks behind it are shown already. */
  #precede(rows: Rows, entry: Entry): void {
    if (!this.buffer.has(entry)) return;
    const last = rows.at(rows.length - 1);
    if (last !== undefined && last.order > entry.order) rows.insert([entry], this.#measure);
    else rows.push(entry, this.#measure(entry));
  }
}

function texts(lines: readonly Entry[]): string[] {
  return lines.map(({ text }) => text);
}
