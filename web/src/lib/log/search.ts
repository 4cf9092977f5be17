/** Search lines for several terms, literal or regular expressions; hits are ranges of each text. */

import type { Hits } from './entry';

export interface Query {
  readonly terms: readonly string[];
  readonly regex: boolean;
  readonly matchCase: boolean;
  readonly invert: boolean;
  readonly filter: boolean;
  /** Lines shown around a hit when filtering. */
  readonly context: number;
}

export const NO_QUERY: Query = {
  terms: [],
  regex: false,
  matchCase: false,
  invert: false,
  filter: false,
  context: 0,
};

/** A message to the worker that runs regular expressions. */
export interface Patterns {
  readonly sources: readonly string[];
  readonly flags: string;
}

/** The largest number of ranges per line; readers do not look at more. */
const MOST_HITS = 200;

/** Return the patterns of a query, or the error in it. */
export function patternsOf(query: Query): Patterns | { readonly error: string } {
  const flags = query.matchCase ? 'g' : 'gi';
  const sources: string[] = [];
  for (const term of query.terms.filter((each) => each !== '')) {
    const source = query.regex ? term : escaped(term);
    try {
      new RegExp(source, flags);
    } catch (error) {
      return { error: reason(term, error) };
    }
    sources.push(source);
  }
  return { sources, flags };
}

/** Return a function that finds every term in a text. */
export function finder({ sources, flags }: Patterns): (text: string) => Hits | null {
  const patterns = sources.map((source) => new RegExp(source, flags));
  return (text) => {
    let hits: number[] | null = null;
    for (let term = 0; term < patterns.length; term++) {
      const pattern = patterns[term] as RegExp;
      pattern.lastIndex = 0;
      let match = pattern.exec(text);
      while (match !== null) {
        if (match[0] === '') pattern.lastIndex += 1;
        else {
          hits ??= [];
          hits.push(match.index, pattern.lastIndex, term);
          if (hits.length >= MOST_HITS * 3) return hits;
        }
        match = pattern.exec(text);
      }
    }
    return hits;
  };
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}

/** Drop the prefix of "Invalid regular expression: /(/gi: Unterminated group". */
function reason(term: string, error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return `‘${term}’ is not a regular expression: ${text.replace(/^.*\/[a-z]*: /s, '').toLowerCase()}`;
}
