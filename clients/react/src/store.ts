/** A stream as a React store: the first subscription opens it, and the end of the last closes it. */

import { nextBatch, type Reason, type StreamOptions, type StreamState } from '@mist/client';
import { useMemo, useSyncExternalStore } from 'react';

/** The values that every hook returns. */
export interface View {
  /** The current problem, for people; `null` if there is none. */
  readonly error: string | null;
  /** The state of the stream itself; `ended` if nothing is followed. */
  readonly connection: StreamState;
  /** Connect now: skip the delay between attempts, or continue after an end or a failure. */
  readonly reconnect: () => void;
}

/** Options of every hook. They are plain data, so a new object with equal values changes nothing. */
export interface HookOptions extends Pick<StreamOptions, 'backoff' | 'quietAfter'> {
  /** The address of the service; the page's own origin by default. */
  readonly url?: string;
}

/** The part of a stream that a store needs. */
interface Source {
  readonly reason: Reason | null;
  close(): void;
  reconnect(): void;
}

export abstract class Store<V extends View> {
  readonly #initial: V;
  #view: V;
  #shown: V;
  #source: Source | null = null;
  readonly #listeners = new Set<() => void>();
  #cancelFrame: (() => void) | null = null;

  constructor(initial: Omit<V, keyof View>, follows: boolean) {
    const reconnect = () => {
      if (this.#listeners.size > 0) this.#source?.reconnect();
    };
    const connection = follows ? 'connecting' : 'ended';
    this.#initial = { ...initial, error: null, connection, reconnect } as V;
    this.#view = this.#initial;
    this.#shown = this.#initial;
  }

  // React calls these without a receiver.

  /** The snapshot on the server, and during hydration. */
  readonly initial = (): V => this.#initial;

  readonly shown = (): V => this.#shown;

  /** Strict mode and hidden parts of a page subscribe again; the stream then continues. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) this.#begin();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#end();
    };
  };

  /** Open the stream; return `null` if there is nothing to follow. May throw a TypeError. */
  protected abstract open(): Source | null;

  /** Return the view of a stream that could not be opened. */
  protected abstract failed(error: string): Partial<V>;

  protected get view(): V {
    return this.#view;
  }

  /** Change the view; the next frame shows it together with all other changes until then. */
  protected change(part: Partial<V>): void {
    this.#view = { ...this.#view, ...part };
    if (this.#listeners.size > 0) this.#cancelFrame ??= nextBatch(() => this.#show());
  }

  #begin(): void {
    try {
      this.#source ??= this.open();
      // Reopen only a stream that was closed here, not one that has ended or failed.
      if (this.#source?.reason?.code === 'closed') this.#source.reconnect();
    } catch (error) {
      this.change(this.failed(error instanceof Error ? error.message : String(error)));
    }
    this.#shown = this.#view;
  }

  #end(): void {
    this.#source?.close();
    this.#cancelFrame?.();
    this.#cancelFrame = null;
  }

  #show(): void {
    this.#cancelFrame = null;
    this.#shown = this.#view;
    for (const listener of this.#listeners) listener();
  }
}

/** Follow the stream that the options name. Options that differ as JSON open another stream. */
export function useStore<O, V extends View>(make: (options: O) => Store<V>, options: O): V {
  const key = JSON.stringify(options, keepNumber);
  const store = useMemo(() => make(JSON.parse(key) as O), [make, key]);
  return useSyncExternalStore(store.subscribe, store.shown, store.initial);
}

/** JSON has no NaN and would encode it as `null`, which means something else. */
function keepNumber(_name: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}
