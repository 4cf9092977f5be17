/** The containers of the host and what they use; followed until it is closed. */

import type { HostContainer, HostUsage, Reason, StreamState } from '@mist/client';
import { client } from './api';
import { grown, type Trend } from './trend';

export class HostContainers {
  list: readonly HostContainer[] = $state.raw([]);
  loaded = $state(false);
  /** By the containers' ids. */
  trends: ReadonlyMap<string, Trend> = $state.raw(new Map());
  state: StreamState = $state('connecting');
  reason: Reason | null = $state.raw(null);

  readonly #stream = client.containers();

  constructor() {
    this.#stream.on('state', ({ state, reason }) => {
      this.state = state;
      this.reason = reason;
    });
    this.#stream.on('containers', ({ containers }) => {
      this.list = containers;
      this.loaded = true;
    });
    this.#stream.on('samples', ({ samples }) => {
      for (const each of samples) this.#take(each);
    });
  }

  reconnect(): void {
    this.#stream.reconnect();
  }

  close(): void {
    this.#stream.close();
  }

  #take({ timestamp, stats }: HostUsage): void {
    const time = Date.parse(timestamp) / 1000;
    // A container that has stopped uses nothing any more.
    this.trends = new Map(
      Object.entries(stats).map(([id, usage]) => [id, grown(this.trends.get(id), time, usage)]),
    );
  }
}
