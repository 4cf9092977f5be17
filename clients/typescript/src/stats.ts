/** What one container uses. */

import type {
  ContainerStats,
  ContainerStatsEvent,
  ContainerStatsOptions,
  UsageSample,
} from './container-types.ts';
import type { Message } from './link.ts';
import { containerStatusOf, dataOf, errorOf, textOf, timeOf } from './messages.ts';
import { SampleStream } from './samples.ts';
import { type ContainerQuery, checkContainer, checkCount } from './service.ts';
import type { WebSocketLike } from './types.ts';
import { usageOf } from './usage.ts';

class Stats extends SampleStream<ContainerStatsEvent, UsageSample> implements ContainerStats {
  complete = false;
  readonly #container: ContainerQuery;

  constructor(options: ContainerStatsOptions, container: ContainerQuery) {
    super(options);
    this.#container = container;
  }

  open(): WebSocketLike {
    this.complete = false;
    return this.service.open('ws/container/stats', { ...this.#container, history: this.history });
  }

  message(message: Message): void {
    const time = timeOf(message);
    if (message.type === 'stats') {
      this.take({ ...usageOf(message.data), timestamp: time });
    } else if (message.type === 'status') {
      this.emit({ type: 'status', time, data: containerStatusOf(message) });
    } else if (message.type === 'error') {
      this.emit(errorOf(message));
    } else if (message.type === 'end') {
      this.complete = true;
      this.emit({ type: 'end', time, message: textOf(dataOf(message).message) });
    }
  }
}

/** Follow what a container uses, one sample per second; connects at once. */
export function containerStats(options: ContainerStatsOptions): ContainerStats {
  checkCount('history', options.history);
  return new Stats(options, checkContainer(options));
}
