/** The host's metrics, shared by all charts of a view. */

import type { MetricsSample, Reason, StreamState } from '@mist/client';
import { client } from './api';

/** The samples that the service keeps, and those that an open page keeps: an hour. */
const HISTORY = 300;
const MOST = 3600;

export class Metrics {
  samples: readonly MetricsSample[] = $state.raw([]);
  state: StreamState = $state('connecting');
  reason: Reason | null = $state.raw(null);

  readonly #stream = client.metrics({ history: HISTORY });

  constructor() {
    this.#stream.on('state', ({ state, reason }) => {
      this.state = state;
      this.reason = reason;
    });
    this.#stream.on('samples', ({ samples }) => {
      this.samples = [...this.samples, ...samples].slice(-MOST);
    });
  }

  get latest(): MetricsSample | undefined {
    return this.samples[this.samples.length - 1];
  }

  reconnect(): void {
    this.#stream.reconnect();
  }

  close(): void {
    this.#stream.close();
  }
}
