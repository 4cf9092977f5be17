/** The host's metrics. */

import { type MetricsSample, type MetricsStream, metrics, type StateEvent } from '@mist/client';
import { appendNewest } from './lines.ts';
import { type HookOptions, Store, useStore, type View } from './store.ts';

const MOST_SAMPLES = 300;

export interface UseMetricsOptions extends HookOptions {
  /** The number of earlier samples to start with, 0 to 300. */
  readonly history?: number;
  /** The number of samples to keep; 300 by default. */
  readonly maxSamples?: number;
}

export interface MetricsView extends View {
  /** The newest sample; `null` before the first. */
  readonly metrics: MetricsSample | null;
  /** The newest samples, one per second, oldest first. */
  readonly history: readonly MetricsSample[];
}

class MetricsStore extends Store<MetricsView> {
  readonly #options: UseMetricsOptions;

  constructor(options: UseMetricsOptions) {
    super({ metrics: null, history: [] }, true);
    this.#options = options;
  }

  protected open(): MetricsStream {
    const { maxSamples = MOST_SAMPLES, ...options } = this.#options;
    const stream = metrics(options);
    stream.on('samples', ({ samples }) => {
      const history = appendNewest(this.view.history, samples, maxSamples);
      this.change({ metrics: samples.at(-1) ?? null, history });
    });
    stream.on('error', ({ message }) => this.change({ error: message }));
    stream.on('state', ({ state, reason }: StateEvent) => {
      this.change({ connection: state, error: reason?.message ?? null });
    });
    return stream;
  }

  protected failed(error: string): Partial<MetricsView> {
    return { error, connection: 'failed' };
  }
}

const make = (options: UseMetricsOptions) => new MetricsStore(options);

/** Follow the host's metrics, one sample per second. */
export function useMetrics(options: UseMetricsOptions = {}): MetricsView {
  return useStore(make, options);
}
