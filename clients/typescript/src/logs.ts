/** The log of a container. */

import { linesOf } from './lines.ts';
import type { Message } from './link.ts';
import { containerStatusOf, countOf, dataOf, errorOf, lineOf, textOf, timeOf } from './messages.ts';
import { type Gap, type Resume, ResumePoint } from './resume.ts';
import { checkCount, checkId } from './service.ts';
import { LiveStream } from './stream.ts';
import type {
  ContainerLogs,
  ContainerLogsEvent,
  ContainerLogsOptions,
  ContainerStatus,
  LinesEvent,
  LogLine,
  WebSocketLike,
} from './types.ts';

const QUIET_MS = 30_000;
/** How long to wait for the last known line after the service's first message, in milliseconds. */
const RESUME_MS = 1000;
/** A time before every line: the service answers with everything that it remembers. */
const BEGINNING = '0001-01-01T00:00:00Z';

class Logs extends LiveStream<ContainerLogsEvent, LogLine> implements ContainerLogs {
  readonly appId: number;
  status: ContainerStatus | null = null;
  complete = false;
  readonly #options: ContainerLogsOptions;
  readonly #point = new ResumePoint();
  #asked = '';
  #resume: Resume | null = null;
  #downtime: number | null = null;
  #cancelSettle = () => {};
  /** True if the log is known to have had no line of those that were requested. */
  #empty = false;
  /** The time of the first status. */
  #begun = '';
  #statusTime = '';

  constructor(options: ContainerLogsOptions) {
    super(options, QUIET_MS);
    this.appId = options.container === undefined ? (options.appId ?? 0) : 0;
    this.#options = options;
  }

  lines(): AsyncIterableIterator<LogLine> {
    return linesOf(this);
  }

  // ---------------------------------------------------------------- connection

  open(): WebSocketLike {
    const { container, tail, since, stopped } = this.#options;
    this.complete = false;
    this.#asked = this.#resumeAt();
    return this.service.open('ws/container/logs', {
      ...(container === undefined ? { appId: this.appId } : { container }),
      ...(this.#asked === '' ? { tail, since } : { since: this.#asked }),
      // The container may have written its last lines and stopped while there was no connection.
      stopped: stopped || this.#begun !== '' ? 1 : undefined,
      pos: 1,
    });
  }

  joined(downtime: number | null): void {
    const begins = downtime === null && this.#asked === '';
    this.#downtime = downtime;
    this.#resume = begins ? null : this.#point.resume(this.#asked);
    this.#cancelSettle();
    this.#cancelSettle = this.environment.later(() => {
      this.#settle();
      this.#empty = this.#point.empty;
    }, RESUME_MS);
  }

  override lost(): void {
    // Lines that waited for the last known line are requested again.
    this.#resume = null;
    this.#cancelSettle();
  }

  message(message: Message): void {
    switch (message.type) {
      case 'log':
        this.#take(lineOf(message));
        break;
      case 'status':
        this.status = containerStatusOf(message);
        this.#statusTime = timeOf(message);
        this.#begun ||= this.#statusTime;
        this.emit({ type: 'status', time: timeOf(message), data: this.status });
        break;
      case 'skipped':
        this.#skip(message);
        break;
      case 'error':
        this.#settle();
        this.emit(errorOf(message));
        break;
      case 'end':
        this.#settle();
        this.complete = true;
        this.emit({ type: 'end', time: timeOf(message), message: textOf(dataOf(message).message) });
        break;
    }
  }

  protected batch(lines: readonly LogLine[]): LinesEvent {
    return { type: 'lines', lines };
  }

  // -------------------------------------------------------------------- resume

  /** Return the position or the time to resume after; empty to repeat the first request. */
  #resumeAt(): string {
    if (!this.#point.empty) return this.#point.since;
    if (this.#options.since !== undefined) return '';
    if (this.#options.tail === 0) return this.#begun;
    return this.#empty ? BEGINNING : '';
  }

  #take(line: LogLine | null): void {
    if (line === null) return;
    if (this.#resume === null) {
      this.#deliver(line);
      return;
    }
    const fresh = this.#resume.feed(line);
    if (this.#resume.gap !== null) this.#resumed(this.#resume.gap);
    for (const each of fresh) this.#deliver(each);
  }

  /** Deliver the lines that wait for the last known line, because it did not arrive. */
  #settle(): void {
    if (this.#resume === null) return;
    const waiting = this.#resume.finish();
    this.#resumed(this.#resume.gap as Gap);
    for (const each of waiting) this.#deliver(each);
  }

  #resumed({ missing, exact }: Gap): void {
    this.#resume = null;
    if (this.#downtime !== null) {
      this.emit({ type: 'reconnected', missing, exact, downtime: this.#downtime });
    }
    if (missing > 0) this.#tellForgotten(missing, exact);
  }

  #deliver(line: LogLine): void {
    this.#point.push(line);
    this.gather(line);
  }

  #skip(message: Message): void {
    const { lines: count, reason, message: text } = dataOf(message);
    const lines = countOf(count) || 1;
    if (this.#resume?.skip(lines)) return;
    this.#settle();
    if (this.#point.empty) {
      // The requested time is too long ago; the service says 1 if it cannot count the lines.
      this.#tellForgotten(lines, lines > 1);
      return;
    }
    this.emit({
      type: 'skipped',
      time: timeOf(message),
      lines,
      exact: countOf(count) > 0,
      reason: textOf(reason) || 'slow',
      message: textOf(text),
    });
  }

  #tellForgotten(lines: number, exact: boolean): void {
    const many = `${exact ? '' : 'At least '}${lines} ${lines === 1 ? 'line is' : 'lines are'}`;
    const message = `${many} missing: the service does not remember them any more`;
    const time = this.#statusTime;
    this.emit({ type: 'skipped', time, lines, exact, reason: 'forgotten', message });
  }
}

/** Follow the log of an application's container, or of any container; connects at once. */
export function containerLogs(options: ContainerLogsOptions): ContainerLogs {
  if (options.container === undefined) checkId('appId', options.appId as number);
  checkCount('tail', options.tail);
  return new Logs(options);
}
