/** The containers of the host and what they use, for admins. */

import type {
  ContainersOptions,
  ContainersStream,
  ContainersStreamEvent,
  HostContainer,
  HostUsage,
} from './container-types.ts';
import type { Message } from './link.ts';
import { dataOf, errorOf, numberOf, textOf, timeOf } from './messages.ts';
import { LiveStream } from './stream.ts';
import type { SamplesEvent, WebSocketLike } from './types.ts';
import { usageOf } from './usage.ts';

const QUIET_MS = 10_000;

class Containers extends LiveStream<ContainersStreamEvent, HostUsage> implements ContainersStream {
  containers: readonly HostContainer[] | null = null;
  readonly complete = false;

  constructor(options: ContainersOptions) {
    super(options, QUIET_MS);
  }

  open(): WebSocketLike {
    return this.service.open('ws/containers', {});
  }

  joined(): void {}

  message(message: Message): void {
    const time = timeOf(message);
    if (message.type === 'containers') {
      const { containers } = dataOf(message);
      if (!Array.isArray(containers)) return;
      this.containers = containers.flatMap((each) => containerOf(each) ?? []);
      this.emit({ type: 'containers', time, containers: this.containers });
    } else if (message.type === 'stats') {
      const { stats } = dataOf(message);
      if (typeof stats !== 'object' || stats === null) return;
      const found = Object.entries(stats).map(([id, data]) => [id, usageOf(data)] as const);
      this.gather({ timestamp: time, stats: Object.fromEntries(found) });
    } else if (message.type === 'error') {
      this.emit(errorOf(message));
    }
  }

  protected batch(samples: readonly HostUsage[]): SamplesEvent<HostUsage> {
    return { type: 'samples', samples };
  }
}

/** Return a container of the list, or null for something without an id and a name. */
function containerOf(value: unknown): HostContainer | null {
  const found = dataOf({ data: value });
  const { id, name } = found;
  if (typeof id !== 'string' || typeof name !== 'string') return null;
  const text = (key: string) => textOf(found[key]);
  const maybe = (key: string) => textOf(found[key]) || null;
  return {
    id,
    name,
    image: text('image'),
    state: text('state'),
    status: text('status'),
    health: maybe('health'),
    created: maybe('created'),
    started: maybe('started'),
    project: maybe('project'),
    service: maybe('service'),
    app_id: numberOf(found.app_id),
  };
}

/** Follow the list of the host's containers and what they use; connects at once. */
export function containers(options: ContainersOptions = {}): ContainersStream {
  return new Containers(options);
}
