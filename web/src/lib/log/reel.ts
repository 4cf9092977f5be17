/**
 * One log, read from the service in one direction.
 *
 * A reel begins at an edge: the lines that are held already. An answer overlaps them, and its
 * seam is found by these lines (`join.ts`). Between two fills an answer may be given up; the
 * reel then goes on behind the last line that it has read.
 */

import {
  ApiError,
  type ContainerStatusEvent,
  compareTimes,
  earlier,
  type LogLine,
  type OlderLinesOptions,
} from '@mist/client';
import { pause } from '../pause';
import { optionsOf } from '../sources';
import { type Entry, lineEntry } from './entry';
import {
  heldBefore,
  heldSince,
  type Line,
  linesAfter,
  linesBefore,
  MARGIN_MS,
  overlap,
  type Range,
  same,
  unknown,
} from './join';
import { Pages, request } from './pages';

/** The lines that are made into entries between two pauses. */
const CHUNK = 250;
/**
 * The lines among which a held one is sought at most. An answer may begin with those of another
 * container of the same application, which ran at the same time.
 */
const SOUGHT = 200_000;
/** The answers to a request for a log that does not exist, or that the engine cannot read. */
const NOTHING_TO_READ: readonly number[] = [403, 404, 409];

/** What all reels of one view have in common. */
export interface Reading {
  /** The lines to ask for at once. */
  readonly size: number;
  /** Which lines to ask for, besides the range. */
  readonly choice?: OlderLinesOptions;
  /** Called with the reason while the service lets a request wait, and with "" afterwards. */
  readonly tell: (waiting: string) => void;
  /** Called with the starts and ends of a container that are among the lines. */
  readonly note?: (source: number, changes: readonly ContainerStatusEvent[]) => void;
}

/** Lines and marks that come next, and where they come from. */
export abstract class Reel {
  readonly source: number;
  /** Why the log could not be read to its end, or "". */
  problem = '';
  /** The time of the last line that was read, as far as it is known, or "". */
  reached = '';
  /** Lines next to those that are still to come, in the order of the log. */
  protected edge: Line[] = [];
  protected pages: Pages | null = null;
  protected readonly reading: Reading;
  protected done = false;
  /** True if the service refuses to read the log, which others need not wait for. */
  protected refused = false;
  #waiting: Entry[] = [];
  #next = 0;

  constructor(source: number, reading: Reading) {
    this.source = source;
    this.reading = reading;
  }

  /** Return true if nothing follows what was read. */
  get exhausted(): boolean {
    return this.refused || this.done;
  }

  get head(): Entry | undefined {
    return this.#waiting[this.#next];
  }

  shift(): Entry {
    this.#next += 1;
    return this.#waiting[this.#next - 1] as Entry;
  }

  /** Put entries behind those that wait, in the direction of the reel. */
  add(entries: readonly Entry[]): void {
    this.#waiting = [...this.#waiting.slice(this.#next), ...entries];
    this.#next = 0;
  }

  /** Read until there is a head, or nothing more to read. `alone` says that no other log is read. */
  async fill(signal: AbortSignal, alone: boolean): Promise<void> {
    try {
      while (this.head === undefined && !this.exhausted && this.problem === '') {
        const lines = await this.read(signal);
        signal.throwIfAborted();
        this.reading.note?.(this.source, this.pages?.changes() ?? []);
        this.reached = lines.at(-1)?.time ?? this.reached;
        this.add(await entriesOf(this.source, lines, signal));
        if (this.pages?.ended) this.reached = this.pages.reached || this.reached;
      }
    } catch (error) {
      const nothing = error instanceof ApiError && NOTHING_TO_READ.includes(error.status);
      if (alone || !nothing) throw error;
      this.refused = true;
    }
  }

  /** Give up the answer; the next fill asks for another one. */
  close(): void {
    this.pages?.close();
    this.pages = null;
  }

  /** Return the next lines, in the direction of the reel. */
  protected abstract read(signal: AbortSignal): Promise<readonly LogLine[]>;

  /** Take about `count` lines, and more until there is a line that the answer leads to. */
  protected async take(pages: Pages, count: number, to: Line | undefined, signal: AbortSignal) {
    const page = await pages.take(count);
    let fresh = page;
    while (to && !pages.ended && page.length < SOUGHT && !fresh.some((each) => same(each, to))) {
      signal.throwIfAborted();
      fresh = await pages.take(count);
      for (const each of fresh) page.push(each);
    }
    return page;
  }

  protected async open(order: 'asc' | 'desc', range: Range, signal: AbortSignal): Promise<Pages> {
    const { since, until } = range;
    const options = {
      ...this.reading.choice,
      ...optionsOf(this.source),
      ...(since && { since }),
      ...(until && { until }),
      order,
      seam: true,
    };
    this.pages = new Pages(await request(options, signal, this.reading.tell));
    return this.pages;
  }
}

/** The older lines of a log, from held ones back. */
export class Backward extends Reel {
  readonly #until: string;

  /** `until` limits the range if no lines are held. */
  constructor(source: number, reading: Reading, held: Iterable<Line>, until: string) {
    super(source, reading);
    this.#until = until;
    this.#move([], held);
  }

  protected async read(signal: AbortSignal): Promise<readonly LogLine[]> {
    let pages = this.pages;
    let known: Line[] = [];
    if (pages === null || pages.closed) {
      const first = this.edge[0];
      const until = first === undefined ? this.#until : earlier(first.time, -MARGIN_MS);
      pages = await this.open('desc', { since: '', until }, signal);
      known = heldBefore(this.edge, until);
    }
    const count = this.reading.size + known.length;
    const page = await this.take(pages, count, known[0], signal);
    const lines = linesBefore(page.reverse(), known);
    this.#move(lines, this.edge);
    if (pages.ended) {
      this.problem = pages.problem;
      this.done = this.problem === '';
    }
    return lines.reverse();
  }

  #move(lines: readonly Line[], held: Iterable<Line>): void {
    const edge = (function* () {
      yield* lines;
      yield* held;
    })();
    const first = edge.next().value;
    if (first === undefined) return;
    const until = earlier(first.time, -MARGIN_MS);
    this.edge = [first, ...heldBefore(edge, until)];
  }
}

/** The held lines that a reel leads to: those of its log behind the hole. */
export interface Goal {
  lines(): Iterable<Line>;
  /** The newest line of the log that has been held, for a log of which none is held now. */
  newest(): string;
  /** A number that changes if lines were dropped from the held ones. */
  dropped(): number;
}

/** The newer lines of a log up to held ones; without them, up to its end. */
export class Forward extends Reel {
  readonly #since: string;
  readonly #goal: Goal | null;
  #range: Range = { since: '', until: '' };
  /** The goal's number at the request, and when it was reached. */
  #asked = 0;
  #dropped = 0;

  /** `edge` are the newest lines that were read before; without any, begin at `since`. */
  constructor(
    source: number,
    reading: Reading,
    since: string,
    edge: readonly Line[],
    goal: Goal | null,
  ) {
    super(source, reading);
    this.#since = since;
    this.#goal = goal;
    this.edge = [...edge];
  }

  /** If held lines were dropped meanwhile, there is something to read again. */
  override get exhausted(): boolean {
    return this.refused || (this.done && this.#dropped === this.#drops());
  }

  protected async read(signal: AbortSignal): Promise<readonly LogLine[]> {
    this.done = false;
    let pages = this.pages;
    let known: Line[] = [];
    let all: Line[] = [];
    if (pages === null || pages.closed || pages.ended) {
      const last = this.edge.at(-1);
      const since = last === undefined ? this.#since : earlier(last.time, MARGIN_MS);
      this.#range = { since, until: this.#limit() };
      this.#asked = this.#drops();
      pages = await this.open('asc', this.#range, signal);
      known = heldSince(this.edge, since);
      all = this.edge.filter(({ time }) => compareTimes(time, since) >= 0);
    }
    const page = await this.take(pages, this.reading.size + known.length, known.at(-1), signal);
    signal.throwIfAborted();
    const lines = await this.#join(linesAfter(page, known, all), pages, signal);
    const last = lines.at(-1);
    if (last !== undefined) {
      const far = earlier(last.time, 2 * MARGIN_MS);
      this.edge = heldSince([...this.edge, ...lines], far);
    }
    if (pages.ended && !this.done) this.problem = pages.problem;
    return lines;
  }

  /**
   * Return the lines without those from the held ones on, and note whether they have reached
   * those. Near that border the whole range is read, because lines may be out of time order.
   */
  async #join(taken: readonly LogLine[], pages: Pages, signal: AbortSignal) {
    const first = this.#first();
    const at = overlap(taken, this.#held(taken));
    if (at >= 0) {
      // A range that ends too soon behind them may have left lines out before them.
      if (first && this.#covers(first)) this.#reach();
      else this.close();
      return taken.slice(0, at);
    }
    const near = first && (taken.at(-1)?.time ?? '') >= earlier(first.time, MARGIN_MS);
    if (!pages.ended && (!near || this.#moved)) return this.#fresh(taken);
    const lines = [...taken, ...(await pages.take(Number.POSITIVE_INFINITY))];
    signal.throwIfAborted();
    if (pages.problem === '' && !this.#moved) this.#reach();
    return this.#fresh(linesBefore(lines, this.#held(lines)));
  }

  /** Leave out held lines: the border of a range may have cut out the first, but not others. */
  #fresh(lines: readonly LogLine[]): readonly LogLine[] {
    const { until } = this.#range;
    if (until === '') return lines;
    return unknown(lines, heldBefore(this.#goal?.lines() ?? [], earlier(until, -MARGIN_MS)));
  }

  /** True if the first held lines were dropped since the request, which need not lead beyond them. */
  get #moved(): boolean {
    return this.#asked !== this.#drops();
  }

  /** True if the range has all lines before a held one, which may be later than that one. */
  #covers({ time }: Line): boolean {
    const { until } = this.#range;
    return until === '' || compareTimes(until, earlier(time, -MARGIN_MS)) >= 0;
  }

  #reach(): void {
    this.done = true;
    this.#dropped = this.#drops();
    this.close();
  }

  #drops(): number {
    return this.#goal?.dropped() ?? 0;
  }

  #first(): Line | undefined {
    for (const line of this.#goal?.lines() ?? []) return line;
    return undefined;
  }

  /** Return the held lines to which an answer leads; it may begin in the middle of them. */
  #held(answer: readonly Line[]): Line[] {
    const { since, until } = this.#range;
    const held = heldBefore(this.#goal?.lines() ?? [], until);
    return overlap(answer, held) >= 0 ? held : heldSince(held, since);
  }

  /** The time up to which to read in order to meet the held lines. */
  #limit(): string {
    const first = this.#first();
    if (first !== undefined) return earlier(first.time, -MARGIN_MS);
    const newest = this.#goal?.newest() ?? '';
    return newest && earlier(newest, -1);
  }
}

/** Make entries in slices, so that a frame never waits for all of them. */
async function entriesOf(app: number, lines: readonly LogLine[], signal: AbortSignal) {
  const entries: Entry[] = [];
  for (const [index, { time, stream, line }] of lines.entries()) {
    entries.push(lineEntry(0, { app, time, stream, line }));
    if (index % CHUNK === CHUNK - 1) {
      await pause();
      signal.throwIfAborted();
    }
  }
  return entries;
}
