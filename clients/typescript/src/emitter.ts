/** Typed events for listeners and iterations. */

interface Typed {
  readonly type: string;
}

type Listener<E> = (event: E) => void;

/** Calls listeners in the order in which events are emitted, even if a listener emits one. */
export class Emitter<E extends Typed> {
  readonly #listeners = new Map<string, Set<Listener<E>>>();
  readonly #everything = new Set<Listener<E>>();
  readonly #queue: E[] = [];
  #emitting = false;

  on<T extends E['type']>(
    type: T,
    listener: (event: Extract<E, { readonly type: T }>) => void,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): () => void {
    if (signal?.aborted) return () => {};
    // Wrap the listener in a new function each time, so that it can be added twice.
    const own: Listener<E> = (event) => listener(event as Extract<E, { readonly type: T }>);
    let listeners = this.#listeners.get(type);
    if (listeners === undefined) {
      listeners = new Set();
      this.#listeners.set(type, listeners);
    }
    listeners.add(own);
    const off = () => {
      listeners.delete(own);
      signal?.removeEventListener('abort', off);
    };
    signal?.addEventListener('abort', off, { once: true });
    return off;
  }

  /** Call `listener` for events of every type. */
  onAny(listener: Listener<E>): () => void {
    this.#everything.add(listener);
    return () => this.#everything.delete(listener);
  }

  emit(event: E): void {
    this.#queue.push(event);
    if (this.#emitting) return;
    this.#emitting = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      for (const listener of [...(this.#listeners.get(next.type) ?? [])]) call(listener, next);
      for (const listener of [...this.#everything]) call(listener, next);
    }
    this.#emitting = false;
  }
}

/** Call a listener; report what it throws as uncaught, without stopping the others. */
function call<E>(listener: Listener<E>, event: E): void {
  try {
    listener(event);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
