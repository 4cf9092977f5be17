/** An answer of older lines, taken page by page while the reader scrolls. */

import {
  ApiError,
  type ContainerStatusEvent,
  type LogLine,
  type OlderLines,
  type OlderLinesOptions,
} from '@mist/client';
import { api } from '../api';

/** After so long without a demand, the answer is given up, because it occupies a reader. */
const IDLE_MS = 8000;
/** How often a refused request is repeated (429), and the pause if the service names none. */
const ATTEMPTS = 20;
const RETRY_S = 2;

/** Request older lines, and again while the service has no reader for it; `tell` why it waits. */
export async function request(
  options: OlderLinesOptions,
  signal: AbortSignal,
  tell: (waiting: string) => void,
): Promise<OlderLines> {
  for (let left = ATTEMPTS; ; left--) {
    try {
      const answer = await api.olderLines(options, signal);
      tell('');
      return answer;
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 429 || left <= 1) throw error;
      const seconds = error.retryAfter ?? RETRY_S;
      tell(`${error.message}. Trying again in ${seconds} s`);
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
      signal.throwIfAborted();
    }
  }
}

export class Pages {
  /** Everything was taken. */
  ended = false;
  closed = false;
  readonly #answer: OlderLines;
  readonly #lines: AsyncIterator<readonly LogLine[]>;
  #timer = 0;
  #told = 0;

  constructor(answer: OlderLines) {
    this.#answer = answer;
    this.#lines = answer[Symbol.asyncIterator]();
  }

  /** Return about `count` lines, fewer only at the end; reject as the answer does. */
  async take(count: number): Promise<LogLine[]> {
    clearTimeout(this.#timer);
    const taken: LogLine[] = [];
    while (taken.length < count && !this.ended) {
      const { done, value } = await this.#lines.next();
      if (done) this.ended = true;
      else taken.push(...value);
    }
    this.#timer = window.setTimeout(() => this.close(), IDLE_MS);
    return taken;
  }

  /** The starts and ends of the container among the lines since the last call. */
  changes(): readonly ContainerStatusEvent[] {
    const fresh = this.#answer.changes.slice(this.#told);
    this.#told += fresh.length;
    return fresh;
  }

  /** Why the log could not be read to its end, or "". */
  get problem(): string {
    return this.#answer.end?.message ?? '';
  }

  /** The time of the last line that the service has read, once everything was taken, or "". */
  get reached(): string {
    return this.#answer.end?.reached ?? '';
  }

  close(): void {
    clearTimeout(this.#timer);
    this.closed = true;
    void this.#lines.return?.();
  }
}
