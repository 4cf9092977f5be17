/** A search in whole logs: the newest matches first, as the service finds them. */

import { reasonOf } from '../api';
import { dateTime, plural } from '../format';
import { pause } from '../pause';
import { askFor } from './ask';
import { LogBuffer } from './buffer';
import type { Filter } from './filter';
import { Backward } from './reel';
import { Reels } from './reels';
import type { Query } from './search';
import { LogView } from './view';

/** The matches after which a search stops; readers narrow it down before they read so many. */
const MOST = 10_000;
const CHUNK = 250;

export class WholeSearch {
  readonly buffer = new LogBuffer();
  readonly view = new LogView(this.buffer);
  running = $state(true);
  matches = $state(0);
  problem = $state('');
  /** The time of the oldest line that was read, as far as it is known, or "". */
  reached = $state('');
  #all = false;
  readonly #controller = new AbortController();
  readonly #reels: Reels;

  constructor(sources: readonly number[], query: Query, filter: Filter) {
    this.view.setFilter({ ...filter, hiddenApps: [] });
    this.view.setQuery({ ...query, filter: false });
    const reading = {
      size: 1, // a match is shown when it is found
      choice: askFor(query, filter),
      tell: (waiting: string) => {
        this.problem = waiting;
      },
    };
    const reels = sources.map((source) => new Backward(source, reading, [], ''));
    this.#reels = new Reels(reels, 'desc');
    void this.#run();
  }

  /** Stop the search; what was found stays. */
  stop(): void {
    this.#controller.abort();
    this.#reels.close();
    this.running = false;
  }

  close(): void {
    this.stop();
    this.view.close();
  }

  /** "12 matches · searched back to 2025-01-15 10:30:01" */
  get text(): string {
    const parts = [this.matches === 0 ? 'No matches' : plural(this.matches, 'match', 'matches')];
    if (this.running) parts[0] = this.matches === 0 ? 'Searching…' : `${parts[0]} so far`;
    if (this.#all) parts.push('searched the whole log');
    else if (this.reached !== '') {
      parts.push(`searched back to ${dateTime(Date.parse(this.reached))}`);
    }
    if (!this.running && this.matches >= MOST) parts.push('narrow the search to see older ones');
    return parts.join(' · ');
  }

  async #run(): Promise<void> {
    const { signal } = this.#controller;
    try {
      while (this.matches < MOST && !this.#reels.ended && this.#reels.problem === '') {
        await this.#take(signal);
      }
      const { problem } = this.#reels;
      if (problem !== '') this.problem = `The log could not be read to its end: ${problem}`;
      this.#all = this.#reels.ended;
    } catch (error) {
      if (!signal.aborted) this.problem = reasonOf(error);
    }
    this.reached = this.#reels.reached || this.reached;
    // After a failure, another log may still be waiting for its answer.
    this.stop();
  }

  async #take(signal: AbortSignal): Promise<void> {
    const entries = await this.#reels.take(Math.min(CHUNK, MOST - this.matches), signal, true);
    for (const entry of entries) {
      this.matches += 1;
      entry.order = this.matches;
    }
    this.buffer.append(entries);
    this.reached = entries.at(-1)?.time ?? this.reached;
    if (this.buffer.trim() > 0) this.view.shrink();
    this.view.grow();
    await pause();
    signal.throwIfAborted();
  }
}
