/** The entries of a log view: lines in their original order, and marks between them. */

import { show } from './ansi';
import { jsonFields, pairs } from './fields';
import { type Level, levelOf } from './level';

export type Stream = 'stdout' | 'stderr';
/** A `hole` stands for lines that the engine has, but that are not loaded. */
export type MarkKind = 'start' | 'end' | 'gap' | 'reconnected' | 'deployment' | 'step' | 'hole';

/** The hits of a search in a line's text: start, end and term number of each, in one flat list. */
export type Hits = readonly number[];

/**
 * One row of a log. Lines and marks have one shape, so that the code that walks over a
 * hundred thousand of them meets objects of one kind only.
 */
export interface Entry {
  /** Its position in the log: ascending, with room for marks in between. */
  order: number;
  readonly kind: 'line' | MarkKind;
  readonly app: number;
  /** The engine's original time, and the same in milliseconds. */
  readonly time: string;
  readonly ms: number;
  readonly stream: Stream;
  readonly level: Level;
  readonly raw: string;
  /** The text that is shown, searched and copied: no control sequences, JSON as `key=value`. */
  text: string;
  /** True if the line is opened to show its fields. */
  open: boolean;
  /** The hits of the current search. */
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
