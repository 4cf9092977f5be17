/** The delays between connection attempts. */

import type { BackoffOptions } from './types.ts';

const DEFAULTS: BackoffOptions = { initial: 200, max: 10_000, factor: 1.5 };

/** A restarting service loses all its clients at once; they reconnect spread over this time. */
const RESTART_SPREAD = 500;

/** Delays that grow up to a limit; each is random between half of its value and all of it. */
export class Backoff {
  readonly #options: BackoffOptions;
  readonly #random: () => number;
  #attempts = 0;

  constructor(random: () => number, options: Partial<BackoffOptions> = {}) {
    this.#options = { ...DEFAULTS, ...options };
    this.#random = random;
  }

  /** Return the milliseconds to wait before the next attempt. */
  next(): number {
    const { initial, max, factor } = this.#options;
    const most = Math.min(max, initial * factor ** this.#attempts);
    this.#attempts += 1;
    return most * (0.5 + this.#random() / 2);
  }

  /** Return the milliseconds to wait before the first attempt after a restart of the service. */
  afterRestart(): number {
    if (this.#attempts > 0) return this.next();
    this.#attempts += 1;
    return RESTART_SPREAD * this.#random();
  }

  /** Start again with the shortest delay. */
  reset(): void {
    this.#attempts = 0;
  }
}
