/**
 * Resume a log where it was left, without I/O.
 *
 * The service numbers its lines and resumes exactly after the position of the last one.
 *
 * A service of an earlier version resumes after a time, and several lines can have the same
 * time, or times slightly out of order. The client therefore requests the lines from a moment
 * before the last line, and drops those that it knows: everything up to the last line. It
 * finds that line again by its time, stream, text and number of occurrences. It does the same
 * if the service does not know the position any more and answers with all that it has.
 */

import { compareTimes, earlier, isTime } from './time.ts';
import type { LogLine } from './types.ts';

/** The number of lines to remember: more than the service repeats by default (1,000). */
const REMEMBERED = 4096;
/** The answer begins at most this long before the last line, in milliseconds. */
const MARGIN_MS = 1000;
/**
 * Lines of stdout and stderr are out of time order by less than this, in milliseconds.
 * The service's answer begins after the newest line that is not later than the requested
 * time, so that time has to be before every line that may still be missing.
 */
const DISORDER_MS = 100;
/**
 * The largest number of lines that wait for the last known line, and of their characters: what
 * the service remembers of a log by default (`streams.ring_lines`, `ring_bytes`).
 */
const HELD = 20_000;
const HELD_CHARACTERS = 16 * 1024 * 1024;
/** Only a hash is kept of lines longer than this. */
const KEPT_CHARACTERS = 256;

interface Seen {
  readonly time: string;
  readonly key: string;
  readonly pos: string;
}

/** The newest lines of a log, so that a resumed stream continues after them. */
export class ResumePoint {
  #seen: Seen[] = [];

  /** Remember a line that was delivered. */
  push(line: LogLine): void {
    this.#seen.push({ time: line.time, key: keyOf(line), pos: line.pos ?? '' });
    if (this.#seen.length >= 2 * REMEMBERED) this.#seen = this.#seen.slice(-REMEMBERED);
  }

  get empty(): boolean {
    return this.#seen.length === 0;
  }

  /**
   * Return the position of the last line, or else the time to request: a moment before the last
   * line, but not before the lines that are remembered if that is long enough ago. Empty if
   * nothing is remembered.
   */
  get since(): string {
    const position = this.#seen.at(-1)?.pos ?? '';
    if (position !== '') return position;
    const last = this.#seen.at(-1)?.time ?? '';
    const first = this.#seen[0]?.time ?? '';
    const earliest = earlier(last, MARGIN_MS);
    const latest = earlier(last, DISORDER_MS);
    if (compareTimes(first, earliest) < 0) return earliest;
    return compareTimes(first, latest) < 0 ? first : latest;
  }

  /** Return a filter that separates known from new lines in an answer to a `since` request. */
  resume(since: string): Resume {
    if (!isTime(since)) return this.#resumeAt(since);
    const start = this.#seen.findIndex(({ time }) => compareTimes(time, since) > 0);
    return new Resume(start < 0 ? [] : this.#seen.slice(start), start !== 0);
  }

  #resumeAt(position: string): Resume {
    // Lines may have been delivered after it, where one connection takes over from another.
    const place = this.#seen.map(({ pos }) => pos).lastIndexOf(position);
    return new Resume(this.#seen.slice(place + 1), place >= 0, this.#seen);
  }
}

/** The number of lines that are missing between the known lines and the new ones. */
export interface Gap {
  readonly missing: number;
  readonly exact: boolean;
}

/** Drops the known lines of a resumed log. */
export class Resume {
  /** The gap, known once the first new line is found or no more lines arrive. */
  gap: Gap | null = null;
  readonly #covered: boolean;
  readonly #all: readonly Seen[] | null;
  #counts = new Map<string, number>();
  #known = 0;
  #last = '';
  #horizon = '';
  #joined = false;
  #fed = false;
  #met = false;
  #skipped = 0;
  #held: LogLine[] = [];
  #heldCharacters = 0;

  /**
   * `covered`: `known` contains every line that the service can count as known. `all`: a
   * position was requested, and these lines may come if the service does not find it.
   */
  constructor(known: readonly Seen[], covered: boolean, all: readonly Seen[] | null = null) {
    this.#covered = covered;
    this.#all = all;
    this.#expect(known);
  }

  #expect(known: readonly Seen[]): void {
    this.#counts = new Map();
    for (const { key } of known) this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    this.#known = known.length;
    this.#last = known.at(-1)?.key ?? '';
    this.#horizon = earlier(known.at(-1)?.time ?? '', -MARGIN_MS);
    this.#joined = known.length === 0;
  }

  /**
   * Note that the service has left out lines before the first that it sends; return
   * false where it has sent some already, and now leaves out others.
   */
  skip(lines: number): boolean {
    if (this.#fed) return false;
    this.#skipped += lines;
    // The service says 1 if it cannot count, because it does not know the position.
    if (this.#all !== null && this.#skipped === 1) this.#expect(this.#all);
    return true;
  }

  /** Return the lines that are now known to be new: usually one or none. */
  feed(line: LogLine): readonly LogLine[] {
    this.#fed = true;
    if (this.#joined) {
      this.gap ??= this.#measure();
      return [line];
    }
    if (this.#isKnown(line)) {
      // Every line that came before a known line existed before it.
      this.#release();
      return [];
    }
    this.#held.push(line);
    this.#heldCharacters += line.line.length;
    const full = this.#held.length >= HELD || this.#heldCharacters >= HELD_CHARACTERS;
    return full || compareTimes(line.time, this.#horizon) > 0 ? this.finish() : [];
  }

  /** The last known line can no longer arrive: return the lines that waited for it. */
  finish(): readonly LogLine[] {
    this.#joined = true;
    this.gap ??= this.#measure();
    return this.#release();
  }

  #release(): readonly LogLine[] {
    const held = this.#held;
    this.#held = [];
    this.#heldCharacters = 0;
    return held;
  }

  #isKnown(line: LogLine): boolean {
    const key = keyOf(line);
    const left = this.#counts.get(key) ?? 0;
    if (left === 0) return false;
    this.#counts.set(key, left - 1);
    this.#met = true;
    if (key === this.#last && left === 1) {
      this.#joined = true;
      this.gap = this.#measure();
    }
    return true;
  }

  #measure(): Gap {
    // Lines follow a known line without a gap, so only known lines were skipped.
    if (this.#met) return { missing: 0, exact: true };
    if (this.#skipped === 0) return { missing: 0, exact: this.#all !== null || this.#known === 0 };
    // The service says 1 if it cannot count.
    if (this.#skipped === 1) return { missing: 1, exact: false };
    return { missing: Math.max(0, this.#skipped - this.#known), exact: this.#covered };
  }
}

function keyOf({ time, stream, line }: LogLine): string {
  const text = line.length <= KEPT_CHARACTERS ? line : `${line.length} ${hash(line)}`;
  return `${time} ${stream} ${text}`;
}

/** Return 53 bits of a text (cyrb53): enough to tell lines of the same nanosecond apart. */
function hash(text: string): number {
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    high = Math.imul(high ^ unit, 2654435761);
    low = Math.imul(low ^ unit, 1597334677);
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  return 4294967296 * (2097151 & low) + (high >>> 0);
}
