/** The pauses between attempts to connect. */

import type { BackoffOptions } from './types.ts';

const DEFAULTS: BackoffOptions = { initial: 200, max: 10_000, factor: 1.5 };

/** A service that restarts loses all its clients at once; they come back over this time. */
const RESTART_SPREAD = 500;

/** Pauses that grow up to a limit, each drawn from half of it to all of it. */
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

  /** Begin with the shortest pause again. */
  reset(): void {
    this.#attempts = 0;
  }
}
