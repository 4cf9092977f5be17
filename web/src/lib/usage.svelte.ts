/** What one container uses, with its history; followed until it is closed. */

import type { Reason, StreamState, UsageSample } from '@mist/client';
import { client } from './api';

/** The samples that the service keeps, and those that an open page keeps: an hour. */
const HISTORY = 300;
const MOST = 3600;

export class ContainerUsage {
  samples: readonly UsageSample[] = $state.raw([]);
  /** The container's state in the engine's words; empty before the first. */
  container = $state('');
  status = $state('');
  state: StreamState = $state('connecting');
  reason: Reason | null = $state.raw(null);

  readonly #stream;

  constructor(of: { appId: number } | { container: string }, history = HISTORY, most = MOST) {
    this.#stream = client.containerStats({ ...of, history });
    this.#stream.on('state', ({ state, reason }) => {
      this.state = state;
      this.reason = reason;
    });
    this.#stream.on('status', ({ data }) => {
      this.container = data.state;
      this.status = data.status;
    });
    this.#stream.on('samples', ({ samples }) => {
      this.samples = [...this.samples, ...samples].slice(-most);
    });
  }

  get latest(): UsageSample | undefined {
    return this.samples[this.samples.length - 1];
  }

  reconnect(): void {
    this.#stream.reconnect();
  }

  close(): void {
    this.#stream.close();
  }
}
