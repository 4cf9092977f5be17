/** A search in the whole log: the newest matches first, as the service finds them. */

import type { LogLine } from '@mist/client';
import { api, reasonOf } from '../api';
import { dateTime, plural } from '../format';
import { pause } from '../pause';
import { askFor } from './ask';
import { LogBuffer } from './buffer';
import { lineEntry } from './entry';
import type { Filter } from './filter';
import type { Target } from './history.svelte';
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
  readonly #app: number;

  constructor(target: Target, query: Query, filter: Filter) {
    this.#app = target.appId ?? 0;
    this.view.setFilter({ ...filter, hiddenApps: [] });
    this.view.setQuery({ ...query, filter: false });
    void this.#run({ ...target, ...askFor(query, filter), order: 'desc', limit: MOST });
  }

  /** Stop the search; what was found stays. */
  stop(): void {
    this.#controller.abort();
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

  async #run(request: Parameters<typeof api.olderLines>[0]): Promise<void> {
    const { signal } = this.#controller;
    try {
      const answer = await api.olderLines(request, signal);
      for await (const lines of answer) await this.#take(lines);
      const end = answer.end;
      this.reached = end?.reached || this.reached;
      this.#all = end?.complete === true;
      if (end?.message) this.problem = `The log could not be read to its end: ${end.message}`;
    } catch (error) {
      if (!signal.aborted) this.problem = reasonOf(error);
    }
    this.running = false;
  }

  async #take(lines: readonly LogLine[]): Promise<void> {
    for (let start = 0; start < lines.length; start += CHUNK) {
      const entries = lines.slice(start, start + CHUNK).map(({ time, stream, line }, index) => {
        return lineEntry(this.matches + index + 1, { app: this.#app, time, stream, line });
      });
      this.buffer.append(entries);
      this.matches += entries.length;
      this.reached = entries.at(-1)?.time ?? this.reached;
      if (this.buffer.trim() > 0) this.view.shrink();
      this.view.grow();
      await pause();
      this.#controller.signal.throwIfAborted();
    }
  }
}
