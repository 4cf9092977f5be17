/**
 * The older lines of a view: loaded from the engine as the reader scrolls, or jumps to a time.
 *
 * The buffer is one run of lines up to the live end. After a jump, or when it is full, it has
 * two: what is read, and the live end. Between them is a mark, the hole, and scrolling towards
 * it fills it. The lines of each log follow one another without a gap, so every log has seams
 * of its own (`reel.ts`), and what is between them is merged by time.
 */

import { type ContainerStatusEvent, earlier } from '@mist/client';
import { reasonOf } from '../api';
import type { LogBuffer } from './buffer';
import type { Entry } from './entry';
import { Held } from './held';
import { MARGIN_MS } from './join';
import { LiveLines } from './live-lines';
import { Backward, Forward, type Goal, type Reading } from './reel';
import { Reels } from './reels';
import type { LogView } from './view';

/** The lines that are loaded at once. */
const PAGE = 2000;
/** The lines to have before one that is shown. */
const CONTEXT = 100;
/** The live lines that are kept behind a hole; they may become twice as many. */
const LIVE = 1000;
/** A full buffer is trimmed to this part of its bounds, so that it is not trimmed all the time. */
const TRIMMED = 0.95;
/** How long the beginning of merged logs is waited for. */
const PATIENCE_MS = 5000;

type Activity = '' | 'older' | 'newer' | 'jump';

interface Host {
  readonly buffer: LogBuffer;
  readonly view: LogView;
  /** Return true if the live lines of all logs have begun to arrive, or will not. */
  begun(): boolean;
  /** Called with the starts and ends of a log's container, before the lines around them. */
  note(source: number, changes: readonly ContainerStatusEvent[]): void;
  /** Called after older lines were added or removed. */
  changed(): void;
}

/** Lines that continue at an entry. */
interface Open {
  readonly reels: Reels;
  /** The logs without a live line; once they have one, it may be among these lines, too. */
  readonly silent: readonly number[];
  edge: Entry | undefined;
}

export class History {
  activity: Activity = $state('');
  /** Why older lines cannot be loaded, or "". */
  problem = $state('');

  readonly #host: Host;
  readonly #sources: readonly number[];
  readonly #held: Held;
  readonly #reading: Reading;
  readonly #live: LiveLines;
  /** True once all logs are complete from the first held line on. */
  #even: boolean;
  #back: Open | null = null;
  #forth: Open | null = null;
  #running: AbortController | null = null;
  #first: Entry | undefined;
  /** Where the reader is about to be, after a jump. */
  #aim: Entry | null = null;

  constructor(host: Host, sources: readonly number[]) {
    this.#host = host;
    this.#sources = sources;
    this.#held = new Held(host.buffer, host.view);
    this.#live = new LiveLines(host.buffer);
    this.#even = sources.length === 1;
    this.#reading = {
      size: this.#even ? PAGE : PAGE / 2,
      choice: { status: true },
      note: (source, changes) => host.note(source, changes),
      tell: (waiting) => {
        this.problem = waiting;
      },
    };
  }

  close(): void {
    this.#running?.abort();
    this.#closeReels();
  }

  /** The mark in front of lines that are not loaded, if there is one. */
  get hole(): Entry | null {
    return this.#held.hole;
  }

  /** True if the first held line is the first one that the engine has. */
  get begins(): boolean {
    return this.#first !== undefined && this.#first === this.#held.lineFrom(0);
  }

  /** The first row from which on no line of any log is missing. */
  get start(): Entry | undefined {
    return this.#buffer.at(this.#border());
  }

  /** Return true if there were live lines of a log. */
  knows(source: number): boolean {
    return this.#live.knows(source);
  }

  /** Note live lines, which are about to be held. */
  note(entries: readonly Entry[]): void {
    for (const entry of entries) if (this.#live.note(entry)) this.#begin(entry);
  }

  /** Load lines before the first held one. */
  async older(): Promise<void> {
    if (this.#running !== null || this.begins || this.#buffer.length === 0) return;
    this.#aim = null;
    await this.#run('older', (signal) => this.#older(signal));
  }

  /** Load lines into the hole, from its older end. */
  async newer(): Promise<void> {
    if (this.#running !== null || this.hole === null) return;
    this.#aim = null;
    await this.#run('newer', (signal) => this.#newer(signal));
  }

  /** Load the beginning of the log. */
  async toBeginning(): Promise<void> {
    if (this.begins || !(await this.#jump(''))) return;
    // An answer that breaks before its first line has not led there.
    if (this.problem === '') this.#noteBeginning();
  }

  /** Make the line with this time held, if the engine has it, and the lines around it. */
  async show(time: string): Promise<Entry | null> {
    const first = this.#held.lineFrom(this.#border());
    const near = first === undefined || time < earlier(first.time, -MARGIN_MS);
    let found = this.#held.find(time);
    if (found?.time === time && (this.#even || !near)) return found;
    if (near || this.#held.inHole(time)) await this.#jump(time);
    found = this.#held.find(time);
    if (found !== null && this.#buffer.indexOf(found.order) < CONTEXT) {
      const loading = this.older();
      this.#aim = found;
      await loading;
    }
    return this.#held.find(time);
  }

  /** Note that the reader is where a jump has led. */
  arrived(): void {
    this.#aim = null;
  }

  /** Forget what is not connected with the live end. */
  leave(): void {
    this.#stop();
    this.#aim = null;
    this.problem = '';
    if (this.hole === null) return;
    this.#closeReels();
    this.#held.remove(0, this.#held.live);
    this.#held.hole = null;
    this.#host.changed();
  }

  /** Forget everything up to a position. */
  clear(last: number): void {
    const read = this.#held.lastRead;
    // Without a line before it, nothing would say what is in the hole.
    if (this.hole !== null && (read === undefined || read.order <= last)) this.leave();
    const at = this.#buffer.indexOf(last);
    this.#held.remove(0, this.#buffer.at(at)?.order === last ? at + 1 : at);
    this.#host.changed();
  }

  /** Keep the bounds: drop what is far from `place`, the position that is being read. */
  trim(place: number): void {
    const buffer = this.#buffer;
    const live = this.#held.live;
    // Long lines fill the buffer although they are few.
    const kept = Math.min(LIVE, Math.ceil(buffer.length / buffer.fill / 4));
    if (this.hole !== null && buffer.length - live > 2 * kept) {
      this.#held.remove(live, buffer.length - kept);
    }
    if (buffer.fill <= 1) return;
    const read = buffer.indexOf(this.#aim?.order ?? place);
    const end = this.hole === null ? buffer.length - kept : live - 1;
    if (this.hole !== null && read > end) {
      this.leave();
      return;
    }
    const count = Math.ceil(buffer.length * (1 - TRIMMED / buffer.fill));
    const margin = Math.min(LIVE, Math.ceil(buffer.length / 20));
    if (read > end / 2) this.#held.remove(0, Math.max(1, Math.min(count, read - margin)));
    else this.#held.cut(Math.min(end, Math.max(read + margin, end - count)), end);
    this.#host.changed();
  }

  // ------------------------------------------------------------------ loading

  async #older(signal: AbortSignal): Promise<void> {
    const first = this.#buffer.at(0);
    // Lines that are held too early take part in the merging.
    const early = this.#border();
    if (early >= this.#held.live && this.hole !== null) {
      // What is read was cut off before the last log had begun.
      this.leave();
      return;
    }
    const lastEarly = this.#buffer.at(early - 1);
    let open = this.#back;
    this.#back = null;
    if (open === null || open.edge !== first || this.#outdated(open)) {
      open?.reels.close();
      open = this.#open(this.#backwards(early));
    }
    const entries = await this.#take(open, early + PAGE, signal);
    // What is held has changed meanwhile; the reader will ask again.
    const same = this.#buffer.at(0) === first && this.#buffer.at(early - 1) === lastEarly;
    if (!same || this.#outdated(open)) {
      open.reels.close();
      return;
    }
    this.#held.remove(0, early);
    this.#even = true;
    this.#held.insert(0, entries.reverse());
    open.edge = this.#buffer.at(0);
    this.#back = open;
    if (open.reels.ended) this.#noteBeginning();
    else if (this.#broken(open)) this.#back = null;
    this.#host.changed();
  }

  async #newer(signal: AbortSignal): Promise<void> {
    const hole = this.hole as Entry;
    const last = this.#held.lastRead;
    let open = this.#forth;
    this.#forth = null;
    if (open === null || open.edge !== last || this.#outdated(open)) {
      open?.reels.close();
      open = this.#open(this.#forwards());
    }
    const entries = await this.#take(open, PAGE, signal);
    if (this.hole !== hole || this.#held.lastRead !== last || this.#outdated(open)) {
      open.reels.close();
      return;
    }
    this.#held.insert(this.#held.live - 1, entries);
    if (open.reels.ended) {
      this.#held.closeHole();
    } else if (!this.#broken(open)) {
      open.edge = this.#held.lastRead;
      this.#forth = open;
    }
    this.#host.changed();
  }

  /** Replace what is read by the lines from a time on, or from the beginning. */
  async #jump(time: string): Promise<boolean> {
    return this.#run('jump', async (signal) => {
      const lastEarly = this.#buffer.at(this.#border() - 1);
      const live = () => {
        const early = lastEarly !== undefined && this.#buffer.has(lastEarly);
        return Math.max(this.#held.live, early ? this.#buffer.indexOf(lastEarly.order) + 1 : 0);
      };
      let open = this.#open(this.#forwardsFrom(time, live));
      let entries = await this.#take(open, PAGE, signal);
      while (this.#outdated(open)) {
        open.reels.close();
        open = this.#open(this.#forwardsFrom(time, live));
        entries = await this.#take(open, PAGE, signal);
      }
      const broken = this.#broken(open);
      if (entries.length === 0) {
        open.reels.close();
        return;
      }
      const joined = open.reels.ended;
      this.#closeReels();
      this.#held.remove(0, live());
      this.#held.hole = null;
      this.#even = true;
      if (!joined) this.#held.cut(0, Math.max(0, this.#buffer.length - LIVE));
      this.#held.insert(0, entries);
      this.#aim = entries[0] ?? null;
      if (!joined && !broken) {
        open.edge = this.#held.lastRead;
        this.#forth = open;
      }
      this.#host.changed();
    });
  }

  async #take({ reels }: Open, count: number, signal: AbortSignal): Promise<Entry[]> {
    try {
      const entries = await reels.take(count, signal);
      signal.throwIfAborted();
      return entries;
    } catch (error) {
      // What was taken is not held.
      reels.close();
      throw error;
    }
  }

  #open(reels: Reels): Open {
    const silent = this.#sources.filter((source) => !this.knows(source));
    return { reels, silent, edge: undefined };
  }

  #outdated({ silent }: Open): boolean {
    return silent.some((source) => this.knows(source));
  }

  #broken({ reels }: Open): boolean {
    const { problem } = reels;
    if (problem === '') return false;
    reels.close();
    this.problem = `The log could not be read to its end: ${problem}`;
    return true;
  }

  /** Run an activity, ending the present one; return false if it failed or was ended. */
  async #run(activity: Activity, body: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
    this.#stop();
    const controller = new AbortController();
    const { signal } = controller;
    this.#running = controller;
    this.activity = activity;
    try {
      this.problem = '';
      await this.#begun(signal);
      await body(signal);
      return true;
    } catch (error) {
      const again = activity === 'jump' ? '' : '. Scroll to try again';
      if (!signal.aborted) this.problem = `${reasonOf(error)}${again}`;
      // Another log may still be waiting for its answer.
      controller.abort();
      return false;
    } finally {
      if (this.#running === controller) {
        this.#running = null;
        this.activity = '';
      }
    }
  }

  #stop(): void {
    this.#running?.abort();
    this.#running = null;
    this.activity = '';
  }

  #closeReels(): void {
    this.#back?.reels.close();
    this.#forth?.reels.close();
    this.#back = this.#forth = null;
  }

  // ---------------------------------------------------------------- the seams

  /** The older lines of all logs, and the first entries, which are to be placed among them. */
  #backwards(early: number): Reels {
    const held = this.#held;
    const moved = Array.from({ length: early }, (_, at) => this.#buffer.at(at) as Entry).reverse();
    const first = held.lineFrom(0)?.time ?? '';
    const reels = this.#sources.map((source) => {
      // A log of which no line is held has none from the first held line on.
      const until = this.hole === null ? this.#live.newest(source) : first;
      const after = until && earlier(until, -1);
      const reel = new Backward(source, this.#reading, held.lines(source, 0), after);
      reel.add(moved.filter(({ app }) => app === source));
      return reel;
    });
    return new Reels(reels, 'desc');
  }

  /** The lines from the hole on. */
  #forwards(): Reels {
    const first = this.#held.lineFrom(0)?.time ?? '';
    return this.#reelsTo(
      () => this.#held.live,
      (source, goal) => {
        return new Forward(source, this.#reading, first, this.#held.newestRead(source), goal);
      },
    );
  }

  #forwardsFrom(time: string, live: () => number): Reels {
    return this.#reelsTo(live, (source, goal) => {
      return new Forward(source, this.#reading, time, [], goal);
    });
  }

  #reelsTo(live: () => number, make: (source: number, goal: Goal) => Forward): Reels {
    const reels = this.#sources.map((source) =>
      make(source, {
        lines: () => this.#held.lines(source, live()),
        newest: () => this.#live.newest(source),
        dropped: () => this.#held.dropped(source),
      }),
    );
    return new Reels(reels, 'asc');
  }

  /** The index from which on the held lines of all logs are complete and in order. */
  #border(): number {
    return this.#even ? 0 : this.#live.border();
  }

  async #begun(signal: AbortSignal): Promise<void> {
    const until = performance.now() + PATIENCE_MS;
    while (!this.#even && !this.#host.begun() && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      signal.throwIfAborted();
    }
  }

  /** If a log begins late, its last lines may have been loaded as older ones. */
  #begin({ app, time }: Entry): void {
    const own = (entry: Entry | undefined) => entry?.kind === 'line' && entry.app === app;
    if (!this.#even) return;
    if (![...this.#buffer].some((entry) => own(entry) && entry.time >= time)) return;
    this.leave();
    this.#stop();
    this.#closeReels();
    for (let from = this.#buffer.length, to = from; from > 0; to = from) {
      from -= 1;
      if (!own(this.#buffer.at(from))) continue;
      while (own(this.#buffer.at(from - 1))) from -= 1;
      this.#held.remove(from, to);
    }
    this.#even = this.#sources.length === 1;
    this.#first = undefined;
    this.#host.changed();
  }

  // ---------------------------------------------------------------- the buffer

  get #buffer(): LogBuffer {
    return this.#host.buffer;
  }

  #noteBeginning(): void {
    this.#first = this.#held.lineFrom(0);
  }
}
