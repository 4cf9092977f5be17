/**
 * The older lines of a log: loaded from the engine as the reader scrolls, or jumps to a time.
 *
 * The buffer is one run of lines up to the live end. After a jump, or when it is full, it has
 * two: what is read, and the live end. Between them is a mark, the hole, and scrolling towards
 * it fills it. Every seam is found by the lines themselves (`join.ts`).
 */

import { ApiError, earlier, type LogLine, type OlderLinesOptions } from '@mist/client';
import { api, reasonOf } from '../api';
import { pause } from '../pause';
import type { LogBuffer } from './buffer';
import { type Entry, lineEntry, markEntry } from './entry';
import { heldIn, type Line, linesAfter, linesBefore, MARGIN_MS, overlap, type Range } from './join';
import { Pages } from './pages';
import type { LogView } from './view';

/** The lines that are loaded at once. */
const PAGE = 2000;
/** The lines that are made into entries between two pauses. */
const CHUNK = 250;
/** The lines to have before one that is shown. */
const CONTEXT = 100;
/** The live lines that are kept behind a hole; they may become twice as many. */
const LIVE = 1000;
/** A full buffer is trimmed to this part of its bounds, so that it is not trimmed all the time. */
const TRIMMED = 0.95;
/** The order of a first line far before the live ones, with room on both sides. */
const FAR = -(2 ** 40);
/** How often a refused request is repeated (429), and the pause if the service names none. */
const ATTEMPTS = 20;
const RETRY_S = 2;

export type Target = Pick<OlderLinesOptions, 'appId' | 'container'>;
type Activity = '' | 'older' | 'newer' | 'jump';

interface Host {
  readonly buffer: LogBuffer;
  readonly view: LogView;
  /** Called after older lines were added or removed. */
  changed(): void;
}

/** Pages that continue behind an entry. */
interface Open {
  readonly pages: Pages;
  readonly range: Range;
  edge: Entry | undefined;
}

export class History {
  activity: Activity = $state('');
  /** Why older lines cannot be loaded, or "". */
  problem = $state('');
  /** True if the first held line is the first one that the engine has. */
  begins = $state(false);

  readonly #host: Host;
  readonly #target: Target;
  readonly #app: number;
  #hole: Entry | null = null;
  #back: Open | null = null;
  #forth: Open | null = null;
  #running: AbortController | null = null;
  #first: Entry | undefined;
  /** Where the reader is about to be, after a jump. */
  #aim: number | null = null;

  constructor(host: Host, target: Target) {
    this.#host = host;
    this.#target = target;
    this.#app = target.appId ?? 0;
  }

  close(): void {
    this.#running?.abort();
    this.#closePages();
  }

  /** The mark in front of lines that are not loaded, if there is one. */
  get hole(): Entry | null {
    return this.#hole;
  }

  /** Load lines before the first held one. */
  async older(): Promise<void> {
    if (this.#running !== null || this.begins || this.#buffer.length === 0) return;
    this.#aim = null;
    await this.#run('older', (signal) => this.#older(signal));
  }

  /** Load lines into the hole, from its older end. */
  async newer(): Promise<void> {
    if (this.#running !== null || this.#hole === null) return;
    this.#aim = null;
    await this.#run('newer', (signal) => this.#newer(signal));
  }

  /** Load the beginning of the log. */
  async toBeginning(): Promise<void> {
    if (!this.begins && (await this.#jump(''))) this.#noteBeginning();
  }

  /** Make the line with this time held, if the engine has it, and the lines around it. */
  async show(time: string): Promise<Entry | null> {
    let found = this.#find(time);
    if (found?.time === time) return found;
    const first = this.#oldest;
    if (first === undefined || time < earlier(first.time, -MARGIN_MS) || this.#inHole(time)) {
      await this.#jump(time);
    }
    found = this.#find(time);
    if (found !== null && this.#buffer.indexOf(found.order) < CONTEXT) {
      const aim = found.order;
      const loading = this.older();
      this.#aim = aim;
      await loading;
    }
    return this.#find(time);
  }

  /** Forget what is not connected with the live end. */
  leave(): void {
    this.#stop();
    this.#aim = null;
    this.problem = '';
    if (this.#hole === null) return;
    this.#closePages();
    this.#remove(0, this.#liveIndex);
    this.#hole = null;
    this.#changed();
  }

  /** Keep the bounds: drop what is far from `place`, the position that is being read. */
  trim(place: number): void {
    const buffer = this.#buffer;
    const live = this.#liveIndex;
    if (this.#hole !== null && buffer.length - live > 2 * LIVE) {
      this.#remove(live, buffer.length - LIVE);
      this.#hole.order = (buffer.at(live) as Entry).order - 0.5;
    }
    if (buffer.fill <= 1) return;
    const read = buffer.indexOf(this.#aim ?? place);
    const end = this.#hole === null ? buffer.length - LIVE : live - 1;
    if (this.#hole !== null && read > end) {
      this.leave();
      return;
    }
    const count = Math.ceil(buffer.length * (1 - TRIMMED / buffer.fill));
    const margin = Math.min(LIVE, Math.ceil(buffer.length / 20));
    if (read > end / 2) this.#remove(0, Math.max(1, Math.min(count, read - margin)));
    else this.#cut(Math.min(end, Math.max(read + margin, end - count)), end);
    this.#changed();
  }

  // ------------------------------------------------------------------ loading

  async #older(signal: AbortSignal): Promise<void> {
    const first = this.#oldest;
    let open = this.#back;
    let lines: LogLine[];
    if (open === null || open.pages.closed || open.edge !== first) {
      const until = first === undefined ? '' : earlier(first.time, -MARGIN_MS);
      open = await this.#open('desc', { since: '', until }, signal);
      this.#back?.pages.close();
      this.#back = open;
      const known = heldIn(this.#lines(0), open.range).length;
      const page = (await open.pages.take(PAGE + known)).reverse();
      signal.throwIfAborted();
      // What is held has changed meanwhile; the reader will ask again.
      if (this.#oldest !== first) return;
      lines = linesBefore(page, heldIn(this.#lines(0), open.range));
    } else {
      lines = (await open.pages.take(PAGE)).reverse();
    }
    const entries = await this.#entries(lines, signal);
    if (this.#oldest !== first) return;
    this.#insert(0, entries);
    open.edge = this.#oldest;
    if (open.pages.ended) this.#endOf(open, () => this.#noteBeginning());
    this.#changed();
  }

  async #newer(signal: AbortSignal): Promise<void> {
    const hole = this.#hole as Entry;
    const last = this.#before(hole);
    let open = this.#forth;
    let lines: LogLine[];
    if (open === null || open.pages.closed || open.edge !== last) {
      const since = last === undefined ? '' : earlier(last.time, MARGIN_MS);
      open = await this.#open('asc', { since, until: this.#liveMargin() }, signal);
      this.#forth?.pages.close();
      this.#forth = open;
      const known = this.#newestPast(since);
      const page = await open.pages.take(PAGE + known.length);
      signal.throwIfAborted();
      lines = linesAfter(page, known);
    } else {
      lines = await open.pages.take(PAGE);
    }
    const found = await this.#joinLive(lines, open, signal);
    const entries = await this.#entries(found.lines, signal);
    if (this.#hole !== hole || this.#before(hole) !== last) return;
    this.#insert(this.#buffer.indexOf(hole.order), entries);
    open.edge = this.#before(hole);
    if (found.joined) this.#closeHole();
    else if (open.pages.ended) this.#endOf(open, () => {});
    this.#changed();
  }

  /** Replace what is read by the lines from a time on, or from the beginning. */
  async #jump(time: string): Promise<boolean> {
    return this.#run('jump', async (signal) => {
      const open = await this.#open('asc', { since: time, until: this.#liveMargin() }, signal);
      const page = await open.pages.take(PAGE);
      signal.throwIfAborted();
      if (page.length === 0) {
        open.pages.close();
        this.#endOf(open, () => {});
        return;
      }
      const { lines, joined } = await this.#joinLive(page, open, signal);
      const entries = await this.#entries(lines, signal);
      this.#closePages();
      this.#remove(0, this.#liveIndex);
      this.#hole = null;
      if (!joined) this.#cut(0, Math.max(0, this.#buffer.length - LIVE));
      this.#insert(0, entries);
      this.#aim = entries[0]?.order ?? null;
      if (joined) {
        open.pages.close();
      } else {
        this.#forth = open;
        open.edge = entries[entries.length - 1];
      }
      this.#changed();
    });
  }

  /**
   * Return the lines without those from the live ones on, and whether they have reached those.
   * Near that border the whole range is read, because lines may be out of time order.
   */
  async #joinLive(taken: readonly LogLine[], { pages, range }: Open, signal: AbortSignal) {
    const first = this.#firstLive;
    const whole = () => pages.ended && pages.problem === '';
    if (first === undefined) return { lines: taken, joined: whole() };
    const at = overlap(taken, heldIn(this.#liveLines(), range));
    if (at >= 0) return { lines: taken.slice(0, at), joined: true };
    const far = (taken.at(-1)?.time ?? '') < earlier(first.time, MARGIN_MS) && !pages.ended;
    // The live lines may have moved on since the request.
    if (far || (range.until !== '' && range.until <= first.time)) {
      return { lines: taken, joined: false };
    }
    const lines = [...taken, ...(await pages.take(Number.POSITIVE_INFINITY))];
    signal.throwIfAborted();
    return { lines: linesBefore(lines, heldIn(this.#liveLines(), range)), joined: whole() };
  }

  async #open(order: 'asc' | 'desc', range: Range, signal: AbortSignal): Promise<Open> {
    const { since, until } = range;
    const given = { ...(since && { since }), ...(until && { until }) };
    const answer = await api.olderLines({ ...this.#target, order, ...given }, signal);
    return { pages: new Pages(answer), range, edge: undefined };
  }

  /** Run an activity, ending the present one; return false if it failed or was ended. */
  async #run(activity: Activity, body: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
    this.#stop();
    const controller = new AbortController();
    const { signal } = controller;
    this.#running = controller;
    this.activity = activity;
    try {
      await this.#attempt(body, signal);
      return true;
    } catch (error) {
      const again = activity === 'jump' ? '' : '. Scroll to try again';
      if (!signal.aborted) this.problem = `${reasonOf(error)}${again}`;
      return false;
    } finally {
      if (this.#running === controller) {
        this.#running = null;
        this.activity = '';
      }
    }
  }

  /** Run a request, and again while the service has no reader for it. */
  async #attempt(body: (signal: AbortSignal) => Promise<void>, signal: AbortSignal) {
    for (let left = ATTEMPTS; ; left--) {
      try {
        this.problem = '';
        await body(signal);
        return;
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 429 || left <= 1) throw error;
        const seconds = error.retryAfter ?? RETRY_S;
        this.problem = `${error.message}. Trying again in ${seconds} s`;
        await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
        signal.throwIfAborted();
      }
    }
  }

  #stop(): void {
    this.#running?.abort();
    this.#running = null;
    this.activity = '';
  }

  #closePages(): void {
    this.#back?.pages.close();
    this.#forth?.pages.close();
    this.#back = this.#forth = null;
  }

  #endOf({ pages }: Open, complete: () => void): void {
    if (pages.problem === '') complete();
    else this.problem = `The log could not be read to its end: ${pages.problem}`;
  }

  // ---------------------------------------------------------------- the buffer

  get #buffer(): LogBuffer {
    return this.#host.buffer;
  }

  get #oldest(): Entry | undefined {
    return this.#lineFrom(0);
  }

  get #firstLive(): Entry | undefined {
    return this.#lineFrom(this.#liveIndex);
  }

  get #liveIndex(): number {
    return this.#hole === null ? 0 : this.#buffer.indexOf(this.#hole.order) + 1;
  }

  #lineFrom(index: number): Entry | undefined {
    for (let at = index; at < this.#buffer.length; at++) {
      const entry = this.#buffer.at(at) as Entry;
      if (entry.kind === 'line') return entry;
      if (entry === this.#hole) return undefined;
    }
    return undefined;
  }

  /** The last line before the hole. */
  #before(hole: Entry): Entry | undefined {
    for (let at = this.#buffer.indexOf(hole.order) - 1; at >= 0; at--) {
      const entry = this.#buffer.at(at) as Entry;
      if (entry.kind === 'line') return entry;
    }
    return undefined;
  }

  /** The time up to which a request has to read to meet the live lines. */
  #liveMargin(): string {
    const first = this.#firstLive;
    return first === undefined ? '' : earlier(first.time, -MARGIN_MS);
  }

  #liveLines(): Iterable<Line> {
    return this.#lines(this.#liveIndex);
  }

  *#lines(from: number): Generator<Line> {
    for (let at = from; at < this.#buffer.length; at++) {
      const entry = this.#buffer.at(at) as Entry;
      if (entry === this.#hole) return;
      if (entry.kind === 'line') yield lineOf(entry);
    }
  }

  /** The newest lines before the hole that are not earlier than a time. */
  #newestPast(since: string): Line[] {
    const far = earlier(since, MARGIN_MS);
    const found: Line[] = [];
    for (let at = this.#buffer.indexOf((this.#hole as Entry).order) - 1; at >= 0; at--) {
      const entry = this.#buffer.at(at) as Entry;
      if (entry.kind !== 'line') continue;
      if (entry.time < far) break;
      if (entry.time >= since) found.push(lineOf(entry));
    }
    return found.reverse();
  }

  #find(time: string): Entry | null {
    const ms = Date.parse(time);
    let later: Entry | null = null;
    for (const entry of this.#buffer) {
      if (entry.time === time && entry.kind === 'line') return entry;
      if (later === null && entry.kind === 'line' && entry.ms >= ms) later = entry;
    }
    return later;
  }

  #inHole(time: string): boolean {
    if (this.#hole === null) return false;
    const last = this.#before(this.#hole);
    const next = this.#firstLive;
    return (last === undefined || time > last.time) && (next === undefined || time < next.time);
  }

  /** Make entries in slices, so that a frame never waits for all of them. */
  async #entries(lines: readonly LogLine[], signal: AbortSignal): Promise<Entry[]> {
    const entries: Entry[] = [];
    for (const [index, { time, stream, line }] of lines.entries()) {
      entries.push(lineEntry(0, { app: this.#app, time, stream, line }));
      if (index % CHUNK === CHUNK - 1) {
        await pause();
        signal.throwIfAborted();
      }
    }
    return entries;
  }

  #insert(index: number, entries: Entry[]): void {
    if (entries.length === 0) return;
    const before = this.#buffer.at(index - 1)?.order ?? Number.NEGATIVE_INFINITY;
    const after = this.#buffer.at(index)?.order ?? FAR;
    if (before === Number.NEGATIVE_INFINITY) {
      const far = this.#buffer.at(index)?.kind === 'hole' ? FAR : after;
      entries.forEach((entry, i) => {
        entry.order = far - entries.length + i;
      });
    } else {
      const step = Math.min(1, (after - before) / (entries.length + 1));
      entries.forEach((entry, i) => {
        entry.order = before + step * (i + 1);
      });
    }
    this.#buffer.insertAt(index, entries);
    this.#host.view.insert(entries);
  }

  #remove(from: number, to: number): void {
    if (to <= from) return;
    const first = (this.#buffer.at(from) as Entry).order;
    const end = this.#buffer.at(to)?.order ?? Number.POSITIVE_INFINITY;
    this.#buffer.remove(from, to);
    this.#host.view.remove(first, end);
  }

  /** Put a hole in the place of entries. */
  #cut(from: number, to: number): void {
    this.#remove(from, to);
    if (this.#hole !== null) return;
    const last = this.#buffer.at(from - 1);
    const next = this.#buffer.at(from);
    const time = last?.time ?? next?.time ?? '';
    const text = 'Newer lines follow here. They are loaded as you scroll';
    const hole = markEntry((next?.order ?? 0) - 0.5, 'hole', time, text, this.#app);
    this.#hole = hole;
    this.#buffer.insertAt(from, [hole]);
    this.#host.view.insert([hole]);
  }

  #closeHole(): void {
    const at = this.#buffer.indexOf((this.#hole as Entry).order);
    this.#hole = null;
    this.#remove(at, at + 1);
    this.#forth?.pages.close();
    this.#forth = null;
  }

  #noteBeginning(): void {
    this.#first = this.#oldest;
    this.#noteFirst();
  }

  #noteFirst(): void {
    this.begins = this.#first !== undefined && this.#first === this.#oldest;
  }

  #changed(): void {
    this.#noteFirst();
    this.#host.changed();
  }
}

const lineOf = ({ time, stream, raw }: Entry): Line => ({ time, stream, line: raw });
