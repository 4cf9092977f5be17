/** What a log view holds: lines as they came, and marks between them. */

import { show } from './ansi';
import { jsonFields, pairs } from './fields';
import { type Level, levelOf } from './level';

export type Stream = 'stdout' | 'stderr';
export type MarkKind = 'start' | 'end' | 'gap' | 'reconnected' | 'deployment' | 'step';

/** The ranges of a search in a line's text: start, end and number of the term, again and again. */
export type Hits = readonly number[];

/**
 * One row of a log. Lines and marks have one shape, so that the code that walks over a
 * hundred thousand of them meets objects of one kind only.
 */
export interface Entry {
  /** Its place in the log: rising, with room for marks in between. */
  order: number;
  readonly kind: 'line' | MarkKind;
  readonly app: number;
  /** The engine's time as it came, and the same in milliseconds. */
  readonly time: string;
  readonly ms: number;
  readonly stream: Stream;
  readonly level: Level;
  readonly raw: string;
  /** What is shown, searched and copied: without control sequences, JSON as `key=value`. */
  text: string;
  /** Opened in place to its fields. */
  open: boolean;
  /** What the current search found in it. */
  hits: Hits | null;
}

export interface RawLine {
  readonly app: number;
  readonly time: string;
  readonly stream: Stream;
  readonly line: string;
}

/** Make the entry of a line. */
export function lineEntry(order: number, { app, time, stream, line }: RawLine): Entry {
  let text = show(line).text;
  const json = text.charCodeAt(0) === 0x7b ? jsonFields(text) : null;
  let level: Level;
  if (json !== null) {
    text = pairs(json.fields);
    level = json.level === 'none' ? levelOf(text) : json.level;
  } else {
    level = levelOf(text);
  }
  const ms = Date.parse(time);
  return {
    order,
    kind: 'line',
    app,
    time,
    ms,
    stream,
    level,
    raw: line,
    text,
    open: false,
    hits: null,
  };
}

/** Make the entry of a mark. */
export function markEntry(
  order: number,
  kind: MarkKind,
  time: string,
  text: string,
  app = 0,
): Entry {
  return {
    order,
    kind,
    app,
    time,
    ms: Date.parse(time),
    stream: 'stdout',
    level: 'none',
    raw: text,
    text,
    open: false,
    hits: null,
  };
}
