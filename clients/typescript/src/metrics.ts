/** The host's metrics. */

import type { Message } from './link.ts';
import { errorOf } from './messages.ts';
import { SampleStream } from './samples.ts';
import { checkCount } from './service.ts';
import type {
  MetricsEvent,
  MetricsOptions,
  MetricsSample,
  MetricsStream,
  WebSocketLike,
} from './types.ts';

class Metrics extends SampleStream<MetricsEvent, MetricsSample> implements MetricsStream {
  readonly complete = false;

  open(): WebSocketLike {
    return this.service.open('ws/metrics', { history: this.history });
  }

  message(message: Message): void {
    if (message.type === 'error') this.emit(errorOf(message));
    if (message.type === undefined && isSample(message)) this.take(message);
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
