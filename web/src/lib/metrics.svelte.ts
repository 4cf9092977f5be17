/** The host's figures, shared by all charts of a view. */

import { openMetrics, type Sample, type StreamState } from './streams';

/** What the service keeps, and what a page keeps while it is open: an hour. */
const HISTORY = 300;
const MOST = 3600;

export interface Series {
  readonly name: string;
  /** Its value in the words of the accessible name: "25.5 %". */
  readonly text: (sample: Sample) => string;
  readonly value: (sample: Sample) => number | null;
  readonly percent: boolean;
}

export class Metrics {
  samples: readonly Sample[] = $state.raw([]);
  state: StreamState = $state('connecting');
  reason = $state('');
  code = $state(0);

  #close: () => void = () => {};
  #pending: Sample[] = [];
  #timer = 0;

  constructor() {
    this.open();
  }

  get latest(): Sample | undefined {
    return this.samples[this.samples.length - 1];
  }

  open(): void {
    this.#close();
    this.#close = openMetrics(HISTORY, {
      state: (state, reason, code) => {
        this.state = state;
        this.reason = reason;
        this.code = code;
      },
      sample: (sample) => this.#take(sample),
    });
  }

  close(): void {
    this.#close();
    clearTimeout(this.#timer);
  }

  /** History comes as a burst: it is drawn once. */
  #take(sample: Sample): void {
    this.#pending.push(sample);
    if (this.#timer !== 0) return;
    this.#timer = window.setTimeout(() => {
      this.#timer = 0;
      const newest = this.latest?.timestamp ?? '';
      // After a reconnect the history repeats what is here.
      const fresh = this.#pending.filter(({ timestamp }) => timestamp > newest);
      this.#pending = [];
      this.samples = [...this.samples, ...fresh].slice(-MOST);
    }, 30);
  }
}
