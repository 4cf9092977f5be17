/**
 * The state of each application's container, asked for by opening its log for a moment: the
 * first message says it. (A route for all containers at once is planned; it goes here.)
 */

import { openLogs } from './streams';

export interface Asked {
  readonly state: string;
  readonly status: string;
}

/** Logs that are open for this at the same time. */
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
    let known = false;
    const done = (asked: Asked) => {
      if (known) return;
      known = true;
      this.of[app] = asked;
      clearTimeout(timer);
      // After the callback: the stream is just handing something over.
      queueMicrotask(() => {
        this.#open.get(app)?.();
        this.#open.delete(app);
        this.#next();
      });
    };
    const timer = setTimeout(() => done({ state: 'unknown', status: '' }), PATIENCE_MS);
    const close = openLogs([app], { tail: 0, since: {} }, {
      status: (_, state, status) => done({ state, status }),
      state: (state, reason) => {
        if (state === 'failed') {
          done({ state: reason === 'Container not found' ? 'missing' : 'unknown', status: reason });
        }
      },
      lines: () => {},
      skipped: () => {},
      resumed: () => {},
    });
    this.#open.set(app, () => {
      clearTimeout(timer);
      close();
    });
  }
}
