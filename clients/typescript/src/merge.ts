/** Merge several logs into one by engine time. */

import { Emitter } from './emitter.ts';
import { environment } from './environment.ts';
import { EventQueue } from './queue.ts';
import { normalizeTime } from './time.ts';
import type {
  ContainerLogs,
  ContainerLogsEvent,
  Environment,
  LinesEvent,
  MergedLine,
  MergedLogs,
  MergedLogsEvent,
  MergeOptions,
} from './types.ts';

const HOLD_BACK_MS = 300;
const MOST_HELD = 20_000;
const QUEUED_LINES = 100_000;

type Other = Exclude<MergedLogsEvent, LinesEvent<MergedLine>>;

const TYPES = [
  'open',
  'state',
  'status',
  'lines',
  'skipped',
  'reconnected',
  'error',
  'end',
] as const;

interface Held {
  /** Never earlier than the previous time of the same log, which keeps the log's own order. */
  readonly time: string;
  /** The arrival time, by this computer's clock. */
  readonly at: number;
  readonly item: MergedLine | Other;
}

const isLine = (item: MergedLine | Other): item is MergedLine => !('type' in item);

/** One log and its waiting lines. */
class Source {
  readonly logs: ContainerLogs;
  readonly listening = new AbortController();
  /** The newest time so far. */
  newest = '';
  #held: Held[] = [];
  #first = 0;

  constructor(logs: ContainerLogs) {
    this.logs = logs;
  }

  /** Return true if a line of another log at `time` has to wait for earlier lines of this log. */
  mayPrecede(time: string): boolean {
    const over = this.logs.state === 'ended' || this.logs.state === 'failed';
    return !over && this.newest < time;
  }

  get head(): Held | undefined {
    return this.#held[this.#first];
  }

  push(item: MergedLine | Other, at: number): void {
    const time = isLine(item) ? normalizeTime(item.time) : this.newest;
    if (time > this.newest) this.newest = time;
    this.#held.push({ time: this.newest, at, item });
  }

  shift(): void {
    this.#first += 1;
    if (this.#first < 1024 && this.#first < this.#held.length) return;
    this.#held = this.#held.slice(this.#first);
    this.#first = 0;
  }
}

class Merge implements MergedLogs {
  readonly #environment: Environment;
  readonly #holdBack: number;
  readonly #maxHeld: number;
  readonly #emitter = new Emitter<MergedLogsEvent>();
  readonly #queues = new Set<EventQueue<MergedLogsEvent>>();
  readonly #sources = new Map<string, Source>();
  #held = 0;
  #cancelTimer: (() => void) | null = null;
  #closed = false;

  constructor(options: MergeOptions) {
    this.#environment = environment(options.environment);
    this.#holdBack = options.holdBack ?? HOLD_BACK_MS;
    this.#maxHeld = options.maxHeld ?? MOST_HELD;
    options.signal?.addEventListener('abort', () => this.close(), { once: true });
  }

  get sources(): ReadonlyMap<string, ContainerLogs> {
    return new Map([...this.#sources].map(([key, { logs }]) => [key, logs]));
  }

  on<T extends MergedLogsEvent['type']>(
    type: T,
    listener: (event: Extract<MergedLogsEvent, { readonly type: T }>) => void,
    options?: { readonly signal?: AbortSignal },
  ): () => void {
    return this.#emitter.on(type, listener, options);
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<MergedLogsEvent> {
    const queue: EventQueue<MergedLogsEvent> = new EventQueue(QUEUED_LINES, () => {
      stop();
      this.#queues.delete(queue);
    });
    const stop = this.#emitter.onAny((event) => queue.push(event));
    this.#queues.add(queue);
    if (this.#closed) queue.finish();
    return queue;
  }

  add(key: string, logs: ContainerLogs): void {
    this.remove(key);
    const source = new Source(logs);
    this.#sources.set(key, source);
    for (const type of TYPES) {
      const take = (event: ContainerLogsEvent) => this.#take(key, source, event);
      logs.on(type, take, { signal: source.listening.signal });
    }
  }

  remove(key: string): void {
    const source = this.#sources.get(key);
    if (source === undefined) return;
    source.listening.abort();
    this.#sources.delete(key);
    this.#release([source], () => true);
    this.#pump();
  }

  close(): void {
    if (this.#closed) return;
    for (const { logs } of this.#sources.values()) logs.close();
    this.#closed = true;
    this.#release([...this.#sources.values()], () => true);
    for (const { listening } of this.#sources.values()) listening.abort();
    this.#cancelTimer?.();
    for (const queue of this.#queues) queue.finish();
    this.#queues.clear();
  }

  #take(key: string, source: Source, event: ContainerLogsEvent): void {
    const now = this.#environment.now();
    if (event.type === 'lines') {
      for (const line of event.lines) source.push({ ...line, source: key }, now);
      this.#held += event.lines.length;
    } else {
      source.push({ ...event, source: key }, now);
      this.#held += 1;
    }
    this.#pump();
  }

  /** Deliver lines that need not wait; run again when the rest has waited long enough. */
  #pump(): void {
    const sources = [...this.#sources.values()];
    const now = this.#environment.now();
    const due = now - this.#holdBack;
    const mayGo = ({ time, at }: Held) =>
      // A clock that was set back must not delay lines for long.
      at <= due ||
      at > now ||
      this.#held > this.#maxHeld ||
      !sources.some((source) => source.mayPrecede(time));
    const waiting = this.#release(sources, mayGo);
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    if (waiting === undefined) return;
    const pause = Math.max(1, waiting.at - due);
    this.#cancelTimer = this.#environment.later(() => this.#pump(), pause);
  }

  /** Deliver the earliest lines that need not wait; return the first that has to. */
  #release(sources: readonly Source[], mayGo: (held: Held) => boolean): Held | undefined {
    let lines: MergedLine[] = [];
    const flush = () => {
      if (lines.length > 0) this.#emitter.emit({ type: 'lines', lines });
      lines = [];
    };
    let source = earliest(sources);
    for (; source?.head && mayGo(source.head); source = earliest(sources)) {
      const { item } = source.head;
      source.shift();
      this.#held -= 1;
      if (isLine(item)) {
        lines.push(item);
      } else {
        flush();
        this.#emitter.emit(item);
      }
    }
    flush();
    return source?.head;
  }
}

function earliest(sources: readonly Source[]): Source | undefined {
  let found: Source | undefined;
  for (const source of sources) {
    const { head } = source;
    if (head !== undefined && (found?.head === undefined || head.time < found.head.time)) {
      found = source;
    }
  }
  return found;
}

/** Merge several logs by engine time; the keys become the lines' `source`. */
export function mergeLogs(
  logs: Readonly<Record<string, ContainerLogs>>,
  options: MergeOptions = {},
): MergedLogs {
  const merged = new Merge(options);
  for (const [key, each] of Object.entries(logs)) merged.add(key, each);
  if (options.signal?.aborted) merged.close();
  return merged;
}
