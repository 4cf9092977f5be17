/** Structured lines: JSON objects and logfmt, as fields in their own order. */

import { show } from './ansi';
import { type Level, levelOfValue } from './level';

export type Field = readonly [key: string, value: string];

export interface Json {
  readonly fields: readonly Field[];
  readonly level: Level;
}

const MOST_FIELDS = 200;
const LEVEL_KEYS: ReadonlySet<string> = new Set([
  'level',
  'severity',
  'lvl',
  'loglevel',
  'log.level',
]);

/** Return the fields of a line that is a JSON object, or null. */
export function jsonFields(text: string): Json | null {
  if (!/^\s*\{/.test(text) || !/\}\s*$/.test(text)) return null;
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isObject(found)) return null;
  const fields: Field[] = [];
  let level: Level = 'none';
  const walk = (value: unknown, path: string, depth: number): void => {
    if (fields.length >= MOST_FIELDS) return;
    if (isObject(value) && depth < 4) {
      for (const [key, each] of Object.entries(value)) {
        walk(each, path ? `${path}.${key}` : key, depth + 1);
      }
      return;
    }
    if (level === 'none' && LEVEL_KEYS.has(path.toLowerCase())) level = levelOfValue(value);
    fields.push([path, typeof value === 'string' ? value : JSON.stringify(value)]);
  };
  walk(found, '', 0);
  return fields.length > 0 ? { fields, level } : null;
}

/** Format a JSON line: its fields as `key=value`, in order. */
export function pairs(fields: readonly Field[]): string {
  return fields.map(([key, value]) => `${key}=${oneLine(value)}`).join(' ');
}

/** Return the positions of the keys in a shown structured line, including the `=`. */
export function keyRanges(raw: string, text: string): { start: number; end: number }[] {
  const json = raw === text ? null : jsonFields(show(raw).text);
  if (json === null) {
    return logfmtPairs(text).map(({ start, valueStart }) => ({ start, end: valueStart }));
  }
  let at = 0;
  return json.fields.map(([key, value]) => {
    const start = at;
    const end = start + key.length + 1;
    at = end + oneLine(value).length + 1;
    return { start, end };
  });
}

/** A pair of logfmt; a quoted value may hold escapes. */
const PAIR = /(^|\s)([A-Za-z_@][\w.@/-]*)=("(?:[^"\\]|\\.)*"|[^\s"]*)(?=\s|$)/g;

export interface Pair {
  readonly key: string;
  readonly value: string;
  /** The start of the key, and the end of the `=` after it. */
  readonly start: number;
  readonly valueStart: number;
  readonly end: number;
}

/** Return the pairs of a logfmt line; none unless they make up most of it. */
export function logfmtPairs(text: string): readonly Pair[] {
  if (!text.includes('=') || text.length > 20_000) return [];
  const found: Pair[] = [];
  let covered = 0;
  for (const match of text.matchAll(PAIR)) {
    const [whole, before = '', key = '', value = ''] = match;
    const start = match.index + before.length;
    const valueStart = start + key.length + 1;
    found.push({ key, value: unquote(value), start, valueStart, end: match.index + whole.length });
    covered += whole.length;
    if (found.length >= MOST_FIELDS) break;
  }
  return found.length >= 2 && covered * 2 >= text.length ? found : [];
}

/** Return the fields of a structured line, or none. */
export function fieldsOf(raw: string, text: string): readonly Field[] {
  return (
    jsonFields(show(raw).text)?.fields ??
    logfmtPairs(text).map(({ key, value }) => [key, value] as const)
  );
}

function unquote(value: string): string {
  if (!value.startsWith('"')) return value;
  try {
    return String(JSON.parse(value));
  } catch {
    return value.slice(1, -1);
  }
}

function oneLine(value: string): string {
  return value.replace(/[\n\r\t]/g, (char) => (char === '\n' ? '⏎' : ' '));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && hasKeys(value);
}

function hasKeys(value: object): boolean {
  return Object.keys(value).length > 0;
}
