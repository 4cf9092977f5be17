/** The base of all streams: a connection, events, and batches of lines. */

import { Connection, type Session } from './connection.ts';
import { Emitter } from './emitter.ts';
import { environment } from './environment.ts';
import type { Message } from './link.ts';
import { EventQueue } from './queue.ts';
import { type Diagnosis, Service } from './service.ts';
import type {
  Environment,
  ErrorEvent,
  OpenEvent,
  Reason,
  StateEvent,
  Stream,
  StreamOptions,
  StreamState,
  WebSocketLike,
} from './types.ts';

const QUEUED_LINES = 100_000;
/** The limit of a batch that is not due yet, as in a hidden page with slow timers. */
const MOST_GATHERED = 5000;
const CLOSED: Reason = { code: 'closed', message: 'The stream was closed' };

type Common = StateEvent | OpenEvent | ErrorEvent;

/** The error of a failed stream, thrown by the iteration over its lines. */
export class StreamError extends Error {
  override readonly name = 'StreamError';
  readonly reason: Reason;

  constructor(reason: Reason) {
    super(reason.message);
    this.reason = reason;
  }
}

/**
 * A stream of events `E`: some carry batches of items `I`, and some are common to all
 * streams. Subclasses choose what to request, and turn messages into events.
 */
export abstract class LiveStream<E extends { readonly type: string }, I>
  implements Stream<E>, Session
{
  protected readonly service: Service;
  protected readonly environment: Environment;
  readonly #emitter = new Emitter<E>();
  readonly #connection: Connection;
  readonly #signal: AbortSignal | undefined;
  readonly #buffer: number;
  readonly #queues = new Set<EventQueue<E>>();
  #gathered: I[] = [];
  #cancelBatch: (() => void) | null = null;
  #closed: PromiseWithResolver<Reason> | null = null;

  constructor(options: StreamOptions, quietAfter: number) {
    this.service = new Service(options);
    this.environment = environment(options.environment);
    this.#signal = options.signal;
    this.#buffer = options.buffer ?? QUEUED_LINES;
    this.#connection = new Connection(this, this.environment, {
      backoff: options.backoff ?? {},
      quietAfter: options.quietAfter ?? quietAfter,
    });
    // Start later, so that listeners that are added now receive every event.
    queueMicrotask(() => this.#begin());
  }

  get state(): StreamState {
    return this.#connection.state;
  }

  get reason(): Reason | null {
    return this.#connection.reason;
  }

  get closed(): Promise<Reason> {
    this.#closed ??= promiseWithResolver();
    if (this.#isOver) this.#closed.resolve(this.reason ?? CLOSED);
    return this.#closed.promise;
  }

  on<T extends E['type']>(
    type: T,
    listener: (event: Extract<E, { readonly type: T }>) => void,
    options?: { readonly signal?: AbortSignal },
  ): () => void {
    return this.#emitter.on(type, listener, options);
  }

  reconnect(): void {
    if (this.#signal?.aborted) return;
    if (this.#isOver) this.#closed = null;
    this.#connection.start();
  }

  close(): void {
    this.#connection.stop();
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<E> {
    const queue: EventQueue<E> = new EventQueue(this.#buffer, () => {
      stop();
      this.#queues.delete(queue);
    });
    const stop = this.#emitter.onAny((event) => queue.push(event));
    this.#queues.add(queue);
    if (this.#isOver) queue.finish();
    return queue;
  }

  // -------------------------------------------------- what the connection asks

  abstract open(): WebSocketLike;
  abstract joined(downtime: number | null): void;
  abstract message(message: Message): void;
  abstract readonly complete: boolean;

  opened(again: boolean): void {
    this.emit({ type: 'open', again });
  }

  changed(state: StreamState, reason: Reason | null, retryIn?: number): void {
    if (state !== 'live') this.lost();
    this.emit({ type: 'state', state, reason, ...(retryIn === undefined ? {} : { retryIn }) });
    if (this.#isOver) this.#finish(reason ?? CLOSED);
  }

  diagnose(): Promise<Diagnosis> {
    return this.service.diagnose();
  }

  // ----------------------------------------------------------- what kinds need

  /** The connection is lost: drop data that waits for the rest of it. */
  protected lost(): void {}

  /** Turn a batch of items into one event. */
  protected abstract batch(items: readonly I[]): E;

  /** Deliver an item with the next batch. */
  protected gather(item: I): void {
    this.#gathered.push(item);
    if (this.#gathered.length >= MOST_GATHERED) this.#flush();
    else this.#cancelBatch ??= this.environment.nextBatch(() => this.#flush());
  }

  /** Deliver an event after all pending items. */
  protected emit(event: E | Common): void {
    this.#flush();
    this.#emitter.emit(event as E);
  }

  // -------------------------------------------------------------------- within

  get #isOver(): boolean {
    return this.state === 'ended' || this.state === 'failed';
  }

  #begin(): void {
    if (this.#isOver) return;
    if (this.#signal?.aborted) {
      this.close();
      return;
    }
    this.#signal?.addEventListener('abort', () => this.close(), { once: true });
    this.#connection.start();
  }

  #flush(): void {
    this.#cancelBatch?.();
    this.#cancelBatch = null;
    if (this.#gathered.length === 0) return;
    const items = this.#gathered;
    this.#gathered = [];
    this.#emitter.emit(this.batch(items));
  }

  #finish(reason: Reason): void {
    this.#closed?.resolve(reason);
    for (const queue of this.#queues) queue.finish();
    this.#queues.clear();
  }
}

interface PromiseWithResolver<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
}

function promiseWithResolver<T>(): PromiseWithResolver<T> {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
