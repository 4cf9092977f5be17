/** The events of a stream for one `for await` loop, which may be slower than the stream. */

import type { LinesEvent, SkippedEvent } from './types.ts';

interface Typed {
  readonly type: string;
}

/** Only lines are numerous, so only lines are counted and dropped. */
const linesOf = (event: Typed): number =>
  event.type === 'lines' ? (event as LinesEvent).lines.length : 0;

/**
 * A bounded queue. Beyond `limit` lines, it drops the oldest and puts a `skipped`
 * event in their place.
 */
export class EventQueue<E extends Typed> implements AsyncIterableIterator<E> {
  readonly #limit: number;
  readonly #leave: () => void;
  #events: E[] = [];
  #lines = 0;
  #over = false;
  #waiting: ((result: IteratorResult<E, undefined>) => void)[] = [];

  /** `leave` is called once, when the caller stops iterating. */
  constructor(limit: number, leave: () => void) {
    this.#limit = limit;
    this.#leave = leave;
  }

  push(event: E): void {
    if (this.#over) return;
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      waiting({ done: false, value: event });
      return;
    }
    this.#events.push(event);
    this.#lines += linesOf(event);
    if (this.#lines > this.#limit) this.#leaveOut();
  }

  /** End the queue; waiting events are still delivered. */
  finish(): void {
    this.#over = true;
    for (const waiting of this.#waiting.splice(0)) waiting({ done: true, value: undefined });
  }

  next(): Promise<IteratorResult<E, undefined>> {
    const value = this.#events.shift();
    if (value !== undefined) {
      this.#lines -= linesOf(value);
      return Promise.resolve({ done: false, value });
    }
    if (this.#over) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  return(): Promise<IteratorResult<E, undefined>> {
    this.#leave();
    this.#events = [];
    this.finish();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Drop the oldest lines until the queue is half full. */
  #leaveOut(): void {
    const kept: E[] = [];
    let lines = 0;
    let time = '';
    let place = 0;
    for (const event of this.#events) {
      if (this.#lines <= this.#limit / 2) break;
      place += 1;
      this.#lines -= linesOf(event);
      if (event.type === 'lines') {
        lines += linesOf(event);
        time = (event as Typed as LinesEvent).lines.at(-1)?.time ?? time;
      } else if (isOwnSkip(event)) {
        lines += event.lines;
      } else {
        kept.push(event);
      }
    }
    const gap = skipped(lines, time) as Typed as E;
    this.#events = [...kept, gap, ...this.#events.slice(place)];
  }
}

const isOwnSkip = (event: Typed): event is SkippedEvent =>
  event.type === 'skipped' && (event as SkippedEvent).reason === 'consumer';

function skipped(lines: number, time: string): SkippedEvent {
  const message = `${lines} lines skipped: the program that reads them is too slow`;
  return { type: 'skipped', time, lines, exact: true, reason: 'consumer', message };
}
