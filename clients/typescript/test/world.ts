/** A deterministic world: a manual clock and scripted WebSockets. */

import type { Environment, WebSocketConstructor, WebSocketLike } from '../src/types.ts';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

export class World {
  readonly sockets: ScriptedSocket[] = [];
  /** The value that `random` returns. */
  chance = 0.5;
  /** The HTTP status to answer with, or 0 for no answer. */
  httpStatus = 0;
  #now = 1_000_000;
  #timers = new Set<Timer>();
  #wakers = new Set<() => void>();

  readonly environment: Environment = {
    now: () => this.#now,
    random: () => this.chance,
    later: (callback, milliseconds) => this.#later(callback, milliseconds),
    nextBatch: (callback) => this.#later(callback, 0),
    onWake: (wake) => {
      this.#wakers.add(wake);
      return () => this.#wakers.delete(wake);
    },
  };

  readonly WebSocket: WebSocketConstructor = socketsOf(this);

  readonly fetch: typeof fetch = async () => {
    if (this.httpStatus === 0) throw new TypeError('fetch failed');
    return new Response('{}', { status: this.httpStatus });
  };

  get options() {
    const { environment, WebSocket, fetch } = this;
    return { url: 'https://mist.example/sub', environment, WebSocket, fetch };
  }

  /** The newest WebSocket. */
  get socket(): ScriptedSocket {
    const socket = this.sockets.at(-1);
    if (socket === undefined) throw new Error('no WebSocket was opened');
    return socket;
  }

  /** The number of running timers, and of waiting wake-ups. */
  get pending(): number {
    return this.#timers.size + this.#wakers.size;
  }

  /** Let time pass; timers run in their order. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    await settle();
    for (let next = this.#due(end); next !== undefined; next = this.#due(end)) {
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
      await settle();
    }
    this.#now = end;
  }

  /** Let the computer sleep: the clock advances, but timers do not run. */
  async sleep(milliseconds: number): Promise<void> {
    const timers = [...this.#timers];
    for (const timer of timers) {
      this.#timers.delete(timer);
      Object.assign(timer, { at: timer.at + milliseconds });
      this.#timers.add(timer);
    }
    this.#now += milliseconds;
    await settle();
  }

  /** Set the clock without changing the remaining time of timers. */
  async setClock(milliseconds: number): Promise<void> {
    await this.sleep(milliseconds);
  }

  wake(): void {
    for (const wake of this.#wakers) wake();
  }

  #due(end: number): Timer | undefined {
    const due = [...this.#timers].filter(({ at }) => at <= end);
    return due.sort((a, b) => a.at - b.at)[0];
  }

  #later(callback: () => void, milliseconds: number): () => void {
    const timer = { at: this.#now + milliseconds, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }
}

/** Let promises settle: of a `fetch`, and of what waits for it. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

function socketsOf(world: World): WebSocketConstructor {
  return class extends ScriptedSocket {
    constructor(url: string) {
      super(url);
      world.sockets.push(this);
    }
  };
}

/** Does nothing by itself. */
export class ScriptedSocket implements WebSocketLike {
  readyState = 0;
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  closedWith: number | undefined;
  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  get query(): Record<string, string> {
    return Object.fromEntries(new URL(this.url).searchParams);
  }

  get isOpen(): boolean {
    return this.readyState < 2;
  }

  close(code?: number): void {
    this.closedWith ??= code;
    this.readyState = 3;
  }

  // ------------------------------------------------------- what the service does

  accept(): this {
    this.readyState = 1;
    this.onopen?.({} as never);
    return this;
  }

  say(...messages: unknown[]): this {
    for (const message of messages) {
      const data = typeof message === 'string' ? message : JSON.stringify(message);
      if (this.isOpen) this.onmessage?.({ data } as never);
    }
    return this;
  }

  drop(code = 1006, reason = ''): this {
    this.readyState = 3;
    this.onerror?.({} as never);
    this.onclose?.({ code, reason } as never);
    return this;
  }
}

export const status = (state = 'running') => ({
  type: 'status',
  timestamp: '2025-01-15T10:00:00.000000000Z',
  data: { container: 'mist-app-1', state, status: 'Up 2 hours' },
});

export const log = (timestamp: string, line: string, pos?: string) => ({
  type: 'log',
  timestamp,
  data: { line, stream: 'stdout', ...(pos === undefined ? {} : { pos }) },
});

export const failure = (message: string) => ({
  type: 'error',
  timestamp: '2025-01-15T10:00:00.000000000Z',
  data: { message },
});

export const skipped = (lines: number) => ({
  type: 'skipped',
  timestamp: '2025-01-15T10:00:00.000000000Z',
  data: { lines, message: `${lines} lines skipped: connection too slow` },
});

/** A time of the service: this many nanoseconds after ten o'clock. */
export function at(nanoseconds: number | bigint): string {
  const whole = BigInt(nanoseconds);
  const seconds = Number(whole / 1_000_000_000n);
  const clock = new Date(Date.UTC(2025, 0, 15, 10) + seconds * 1000).toISOString().slice(0, 19);
  return `${clock}.${String(whole % 1_000_000_000n).padStart(9, '0')}Z`;
}
