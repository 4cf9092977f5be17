/** Finds a query's hits in many lines without blocking the page. */

import type { Hits } from './entry';
import { finder, patternsOf, type Query } from './search';
import type { Answer, Ask } from './search.worker';

export type Found = readonly (Hits | null)[];

export interface Scanner {
  /** Return the hits of each text, now or later; reject if a pattern takes too long. */
  scan(texts: readonly string[]): Found | Promise<Found>;
  close(): void;
}

/** How long a regular expression may take for one batch of lines. */
const PATIENCE_MS = 2000;

/** Return a scanner for a query, null if the query is empty, or the error in it. */
export function makeScanner(query: Query): Scanner | null | { readonly error: string } {
  const patterns = patternsOf(query);
  if ('error' in patterns) return patterns;
  if (patterns.sources.length === 0) return null;
  // A pattern without operators takes linear time, so it runs here.
  if (!query.regex) {
    const find = finder(patterns);
    return { scan: (texts) => texts.map(find), close: () => {} };
  }
  const worker = new Worker(new URL('./search.worker.ts', import.meta.url), { type: 'module' });
  const waiting = new Map<number, (found: Found) => void>();
  let number = 0;
  worker.onmessage = ({ data }: MessageEvent<Answer>) => {
    waiting.get(data.number)?.(data.hits);
    waiting.delete(data.number);
  };
  return {
    scan: (texts) =>
      new Promise((resolve, reject) => {
        number += 1;
        const ask: Ask = { number, patterns, texts };
        const timer = setTimeout(() => {
          worker.terminate();
          reject(new Error('This regular expression takes too long on these lines'));
        }, PATIENCE_MS);
        waiting.set(number, (found) => {
          clearTimeout(timer);
          resolve(found);
        });
        worker.postMessage(ask);
      }),
    close: () => worker.terminate(),
  };
}
