/** The host's metrics. */

import type { Message } from './link.ts';
import { errorOf, timeOf } from './messages.ts';
import { checkCount } from './service.ts';
import { LiveStream } from './stream.ts';
import type {
  MetricsEvent,
  MetricsOptions,
  MetricsSample,
  MetricsStream,
  SamplesEvent,
  WebSocketLike,
} from './types.ts';

/** One sample arrives per second. */
const QUIET_MS = 5000;
/** The number of samples that the service keeps. */
const LONGEST_HISTORY = 300;
/** Earlier samples arrive immediately; every sample after this delay is new, whatever its time. */
const HISTORY_MS = 500;

class Metrics extends LiveStream<MetricsEvent, MetricsSample> implements MetricsStream {
  latest: MetricsSample | null = null;
  readonly complete = false;
  readonly #history: number | undefined;
  #latestAt = 0;
  #joinedAt = 0;
  #downtime: number | null = null;

  constructor(options: MetricsOptions) {
    super(options, QUIET_MS);
    this.#history = options.history;
  }

  open(): WebSocketLike {
    return this.service.open('ws/metrics', { history: this.#missedSamples() });
  }

  joined(downtime: number | null): void {
    this.#joinedAt = this.environment.now();
    this.#downtime = downtime;
  }

  message(message: Message): void {
    if (message.type === 'error') this.emit(errorOf(message));
    if (message.type !== undefined || !isSample(message)) return;
    const now = this.environment.now();
    const time = timeOf(message);
    // Later on, times do not prove the order, because the server's clock may be set back.
    const last = this.latest?.timestamp ?? '';
    if (time === last || (time < last && now - this.#joinedAt < HISTORY_MS)) return;
    if (this.#downtime !== null) this.#tellReconnected(last, time, this.#downtime);
    this.latest = message;
    this.#latestAt = now;
    this.gather(message);
  }

  protected batch(samples: readonly MetricsSample[]): SamplesEvent {
    return { type: 'samples', samples };
  }

  #missedSamples(): number | undefined {
    if (this.latest === null) return this.#history;
    const seconds = Math.ceil((this.environment.now() - this.#latestAt) / 1000);
    return Math.min(LONGEST_HISTORY, Math.max(1, seconds + 2));
  }

  #tellReconnected(last: string, next: string, downtime: number): void {
    this.#downtime = null;
    const seconds = last === '' ? 1 : Math.round((Date.parse(next) - Date.parse(last)) / 1000);
    const missing = Math.max(0, seconds - 1);
    this.emit({ type: 'reconnected', missing, exact: false, downtime });
  }
}

function isSample(message: Message): message is Message & MetricsSample {
  const { cpu, memory, disk, docker } = message as Partial<MetricsSample>;
  return [cpu, memory, disk, docker].every((part) => typeof part === 'object' && part !== null);
}

/** Follow the host's metrics; connects at once. */
export function metrics(options: MetricsOptions = {}): MetricsStream {
  checkCount('history', options.history);
  return new Metrics(options);
}
