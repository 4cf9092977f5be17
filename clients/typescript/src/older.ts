/**
 * Older lines of a log: a range of what the engine has, streamed (docs/http-api.md).
 *
 * The service reads the log as fast as this side takes the lines, so a caller that pauses
 * the iteration also pauses the engine.
 */

import { ApiError } from './api-error.ts';
import type { Message } from './link.ts';
import { containerStatusOf, countOf, dataOf, lineOf, textOf, timeOf } from './messages.ts';
import { checkId, type Service } from './service.ts';
import type { ContainerStatusEvent, LogChannel, LogLine } from './types.ts';

export interface OlderLinesOptions {
  /** The application whose log is read; or, for admins, any `container` by its name. */
  readonly appId?: number;
  readonly container?: string;
  /** RFC 3339, or a duration before now (`2h`); a line at `until` is not in the range. */
  readonly since?: string;
  readonly until?: string;
  /** The last lines of the range, before `q` and `stream` choose among them. */
  readonly tail?: number;
  /** Only lines that contain this text, or match this RE2 expression. */
  readonly q?: string;
  readonly regex?: boolean;
  readonly case?: boolean;
  readonly invert?: boolean;
  readonly stream?: LogChannel;
  /** `desc` begins with the newest line. */
  readonly order?: 'asc' | 'desc';
  /** Stop after so many lines that match. */
  readonly limit?: number;
  /** Also tell where the container started or ended, as far as the engine knows. */
  readonly status?: boolean;
  /** The range is one piece of the log, also where two of its containers ran at once. */
  readonly seam?: boolean;
}

/** What was read. */
export interface OlderLinesEnd {
  /** The lines of the range that were read, and those that were sent. */
  readonly lines: number;
  readonly matched: number;
  /** False if the limit left out the rest of the range, or if the log could not be read. */
  readonly complete: boolean;
  /** The time of the last line read, or "". */
  readonly reached: string;
  /** Why the log could not be read to its end, or "". */
  readonly message: string;
}

/** An answer: lists of lines as they arrive. Leaving the iteration ends the reading. */
export interface OlderLines extends AsyncIterable<readonly LogLine[]> {
  /** The final record; null before the iteration has ended. */
  readonly end: OlderLinesEnd | null;
  /** With `status`, the starts and ends of the container among the lines so far. */
  readonly changes: readonly ContainerStatusEvent[];
}

export type OlderQuery = Readonly<Record<string, string | number | undefined>>;

/** Return the path and the query of a request. */
export function olderAddress(options: OlderLinesOptions): { path: string; query: OlderQuery } {
  const { appId, container, regex, case: matchCase, invert, status, seam, ...query } = options;
  const on = (flag: boolean | undefined) => (flag ? 1 : undefined);
  const target =
    container === undefined
      ? `apps/${checkId('appId', appId as number)}`
      : `containers/${encodeURIComponent(container)}`;
  return {
    path: `api/${target}/logs`,
    query: {
      ...query,
      regex: on(regex),
      case: on(matchCase),
      invert: on(invert),
      status: on(status),
      seam: on(seam),
    },
  };
}

const BROKEN_OFF = 'The answer was broken off before its end';

/** The lines of a response. */
export class Answer implements OlderLines {
  end: OlderLinesEnd | null = null;
  readonly changes: ContainerStatusEvent[] = [];
  readonly #response: Response;
  readonly #signal: AbortSignal | undefined;

  constructor(response: Response, signal?: AbortSignal) {
    this.#response = response;
    this.#signal = signal;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly LogLine[], void, undefined> {
    const reader = this.#response.body?.getReader();
    if (reader === undefined) throw new ApiError(0, BROKEN_OFF);
    const decoder = new TextDecoder();
    let rest = '';
    try {
      while (true) {
        const { done, value } = await reader.read();
        if (done) break;
        const records = (rest + decoder.decode(value, { stream: true })).split('\n');
        rest = records.pop() ?? '';
        const lines = this.#linesOf(records);
        if (lines.length > 0) yield lines;
      }
    } catch (error) {
      this.#signal?.throwIfAborted();
      if (error instanceof ApiError) throw error;
      throw new ApiError(0, BROKEN_OFF, null, error);
    } finally {
      // Without this, the service would keep the rest of the log ready.
      reader.cancel().catch(() => {});
    }
    if (this.end === null) throw new ApiError(0, BROKEN_OFF);
  }

  #linesOf(records: readonly string[]): LogLine[] {
    const lines: LogLine[] = [];
    for (const record of records) {
      const message = JSON.parse(record) as Message;
      if (message.type === 'end') this.end = endOf(message);
      if (message.type === 'status') {
        const data = containerStatusOf(message);
        this.changes.push({ type: 'status', time: timeOf(message), data });
      }
      const line = message.type === 'log' ? lineOf(message) : null;
      if (line !== null) lines.push(line);
    }
    return lines;
  }
}

function endOf(message: Message): OlderLinesEnd {
  const { lines, matched, complete, reached, message: text } = dataOf(message);
  return {
    lines: countOf(lines),
    matched: countOf(matched),
    complete: complete === true,
    reached: textOf(reached),
    message: textOf(text),
  };
}

/** Throw the error of a response; return a successful one. */
export type Check = (response: Response) => Promise<Response>;

export async function olderLines(
  service: Service,
  check: Check,
  options: OlderLinesOptions,
  signal?: AbortSignal,
): Promise<OlderLines> {
  const { path, query } = olderAddress(options);
  let response: Response;
  try {
    // No time limit: a search may take long until its first line. The signal ends it.
    response = await service.request(path, signal ? { signal } : {}, query);
  } catch (error) {
    signal?.throwIfAborted();
    throw new ApiError(0, 'The service cannot be reached', null, error);
  }
  return new Answer(await check(response), signal);
}
