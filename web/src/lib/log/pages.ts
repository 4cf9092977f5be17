/** An answer of older lines, taken page by page while the reader scrolls. */

import type { LogLine, OlderLines } from '@mist/client';

/** After so long without a demand, the answer is given up, because it occupies a reader. */
const IDLE_MS = 8000;

export class Pages {
  /** Everything was taken. */
  ended = false;
  closed = false;
  readonly #answer: OlderLines;
  readonly #lines: AsyncIterator<readonly LogLine[]>;
  #timer = 0;

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

  /** Why the log could not be read to its end, or "". */
  get problem(): string {
    return this.#answer.end?.message ?? '';
  }

  close(): void {
    clearTimeout(this.#timer);
    this.closed = true;
    void this.#lines.return?.();
  }
}
