/** The base of streams that bring one sample per second, with a history of them. */

import type { Message } from './link.ts';
import { timeOf } from './messages.ts';
import { LiveStream } from './stream.ts';
import type { ReconnectedEvent, SamplesEvent, StreamOptions } from './types.ts';

/** One sample arrives per second. */
const QUIET_MS = 5000;
/** The number of samples that the service keeps. */
const LONGEST_HISTORY = 300;
/** Earlier samples arrive immediately; every sample after this delay is new, whatever its time. */
const HISTORY_MS = 500;

interface Sample {
  readonly timestamp: string;
}

/** After a lost connection it asks for the samples that it missed, and delivers each once. */
export abstract class SampleStream<
  E extends { readonly type: string },
  S extends Sample,
> extends LiveStream<E | SamplesEvent<S> | ReconnectedEvent, S> {
  latest: S | null = null;
  readonly #history: number | undefined;
  #latestAt = 0;
  #joinedAt = 0;
  #downtime: number | null = null;

  constructor(options: StreamOptions & { readonly history?: number }) {
    super(options, QUIET_MS);
    this.#history = options.history;
  }

  joined(downtime: number | null): void {
    this.#joinedAt = this.environment.now();
    this.#downtime = downtime;
  }

  /** The number of samples to ask for. */
  protected get history(): number | undefined {
    if (this.latest === null) return this.#history;
    const seconds = Math.ceil((this.environment.now() - this.#latestAt) / 1000);
    return Math.min(LONGEST_HISTORY, Math.max(1, seconds + 2));
  }

  protected take(sample: Message & S): void {
    const now = this.environment.now();
    const time = timeOf(sample);
    // Later on, times do not prove the order, because the server's clock may be set back.
    const last = this.latest?.timestamp ?? '';
    if (time === last || (time < last && now - this.#joinedAt < HISTORY_MS)) return;
    if (this.#downtime !== null) this.#tellReconnected(last, time, this.#downtime);
    this.latest = sample;
    this.#latestAt = now;
    this.gather(sample);
  }

  protected batch(samples: readonly S[]): SamplesEvent<S> {
    return { type: 'samples', samples };
  }

  #tellReconnected(last: string, next: string, downtime: number): void {
    this.#downtime = null;
    const seconds = last === '' ? 1 : Math.round((Date.parse(next) - Date.parse(last)) / 1000);
    const missing = Math.max(0, seconds - 1);
    this.emit({ type: 'reconnected', missing, exact: false, downtime });
  }
}
