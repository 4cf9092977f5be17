/**
 * The state of each application's container, read from the first message of its log, which
 * is opened briefly. (A route for all containers at once is planned; it will be used here.)
 */

import { client } from './api';

export interface Asked {
  readonly state: string;
  readonly status: string;
}

/** The number of logs that are open for this at the same time. */
const AT_ONCE = 4;
const PATIENCE_MS = 15_000;

export class ContainerStates {
  of: Record<number, Asked> = $state({});
  #queue: number[] = [];
  #open = new Map<number, () => void>();

  ask(apps: readonly number[]): void {
    for (const app of apps) if (!this.#queue.includes(app)) this.#queue.push(app);
    this.#next();
  }

  close(): void {
    this.#queue = [];
    for (const close of this.#open.values()) close();
    this.#open.clear();
  }

  #next(): void {
    while (this.#open.size < AT_ONCE && this.#queue.length > 0) {
      const app = this.#queue.shift() as number;
      if (!this.#open.has(app)) this.#look(app);
    }
  }

  #look(app: number): void {
    // Request no lines and make no second attempt, because the next check comes soon.
    const logs = client.containerLogs({ appId: app, tail: 0 });
    const done = (asked: Asked) => {
      if (!this.#open.delete(app)) return;
      clearTimeout(timer);
      this.of[app] = asked;
      logs.close();
      this.#next();
    };
    const timer = setTimeout(() => done({ state: 'unknown', status: '' }), PATIENCE_MS);
    logs.on('status', ({ data }) => done(data));
    logs.on('state', ({ state, reason }) => {
      if (state !== 'failed') return;
      const missing = reason?.message === 'Container not found';
      done({ state: missing ? 'missing' : 'unknown', status: reason?.message ?? '' });
    });
    this.#open.set(app, () => {
      clearTimeout(timer);
      logs.close();
    });
  }
}
