/** The page's search and filters as a request to the service, which reads the whole log. */

import type { OlderLinesOptions } from '@mist/client';
import type { Filter } from './filter';
import type { Query } from './search';

/** Escape every character that has a meaning in RE2. */
const literal = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/**
 * Return the parameters of a search. The service takes one text, so several terms become one
 * regular expression. It searches lines as they were written, with control sequences.
 */
export function askFor({ terms, ...query }: Query, filter: Filter): OlderLinesOptions {
  const found = terms.filter((term) => term !== '');
  const several = found.length > 1;
  const each = query.regex ? (term: string) => `(?:${term})` : literal;
  const q = several ? found.map(each).join('|') : (found[0] ?? '');
  const [hidden, more] = filter.hiddenStreams;
  return {
    ...(q !== '' && {
      q,
      regex: query.regex || several,
      case: query.matchCase,
      invert: query.invert,
    }),
    ...(hidden !== undefined &&
      more === undefined && { stream: hidden === 'stdout' ? 'stderr' : 'stdout' }),
  };
}
