/** A stream as a store of React's: the first subscription opens it, the end of the last closes it. */

import { nextBatch, type Reason, type StreamOptions, type StreamState } from '@mist/client';
import { useMemo, useSyncExternalStore } from 'react';

/** What every hook returns. */
export interface View {
  /** What is wrong now, for people; `null` while nothing is. */
  readonly error: string | null;
  /** The state of the stream itself; `ended` where nothing is followed. */
  readonly connection: StreamState;
  /** Connect now: ends the pause between attempts, and goes on after an end or a failure. */
  readonly reconnect: () => void;
}

/** What every hook takes, besides what it is about. All of it is data, and may be made anew. */
export interface HookOptions extends Pick<StreamOptions, 'backoff' | 'quietAfter'> {
  /** The address of the service; the page's own origin by default. */
  readonly url?: string;
}

/** What a stream is to a store. */
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

  // What React calls, without a receiver.

  /** On the server, and while its HTML comes to life in the browser. */
  readonly initial = (): V => this.#initial;

  readonly shown = (): V => this.#shown;

  /** Strict mode, and a part of a page that is hidden, subscribe again: the stream goes on. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) this.#begin();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#end();
    };
  };

  /** Open the stream; `null` where nothing is to be followed. May throw a TypeError. */
  protected abstract open(): Source | null;

  /** Return what shows that the stream could not be opened. */
  protected abstract failed(error: string): Partial<V>;

  protected get view(): V {
    return this.#view;
  }

  /** Change the view; it is shown in the next frame, with all other changes until then. */
  protected change(part: Partial<V>): void {
    this.#view = { ...this.#view, ...part };
    if (this.#listeners.size > 0) this.#cancelFrame ??= nextBatch(() => this.#show());
  }

  #begin(): void {
    try {
      this.#source ??= this.open();
      // Only what was closed here is taken up again, and not what has ended or failed.
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

/** Follow what the options name. They are compared as JSON; others are another stream. */
export function useStore<O, V extends View>(make: (options: O) => Store<V>, options: O): V {
  const key = JSON.stringify(options, keepNumber);
  const store = useMemo(() => make(JSON.parse(key) as O), [make, key]);
  return useSyncExternalStore(store.subscribe, store.shown, store.initial);
}

/** JSON has no NaN; `null` would stand for it, and say something else. */
function keepNumber(_name: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}
