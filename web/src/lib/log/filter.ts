/** Which lines a view shows. */

import type { Entry, Stream } from './entry';
import { fieldsOf } from './fields';
import type { Level } from './level';

export interface FieldFilter {
  readonly key: string;
  readonly value: string;
  /** Hide such lines instead of showing only them. */
  readonly out: boolean;
}

export interface Filter {
  /** Hidden levels and streams, so that a new level is never hidden by accident. */
  readonly hiddenLevels: readonly Level[];
  readonly hiddenStreams: readonly Stream[];
  readonly hiddenApps: readonly number[];
  readonly fields: readonly FieldFilter[];
}

export const NO_FILTER: Filter = {
  hiddenLevels: [],
  hiddenStreams: [],
  hiddenApps: [],
  fields: [],
};

/** Return a predicate for shown entries; marks of a shown log are always shown. */
export function passes(filter: Filter): (entry: Entry) => boolean {
  const levels = new Set(filter.hiddenLevels);
  const streams = new Set(filter.hiddenStreams);
  const apps = new Set(filter.hiddenApps);
  const { fields } = filter;
  return (entry) =>
    !apps.has(entry.app) &&
    (entry.kind !== 'line' ||
      (!levels.has(entry.level) &&
        !streams.has(entry.stream) &&
        (fields.length === 0 || fields.every((each) => matches(entry, each)))));
}

function matches({ raw, text }: Entry, { key, value, out }: FieldFilter): boolean {
  // A line without the key's text has no such field, so only the few other lines are parsed.
  if (!text.includes(key)) return out;
  const found = fieldsOf(raw, text).some(([name, each]) => name === key && each === value);
  return found !== out;
}
