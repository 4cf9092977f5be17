/** Run regular expressions in a worker, where one that never ends can be terminated. */

import type { Hits } from './entry';
import { finder, type Patterns } from './search';

export interface Ask {
  readonly number: number;
  readonly patterns: Patterns;
  readonly texts: readonly string[];
}

export interface Answer {
  readonly number: number;
  readonly hits: readonly (Hits | null)[];
}

let find: ((text: string) => Hits | null) | undefined;
let known = '';

self.onmessage = ({ data }: MessageEvent<Ask>) => {
  const key = JSON.stringify(data.patterns);
  if (key !== known || find === undefined) {
    find = finder(data.patterns);
    known = key;
  }
  const answer: Answer = { number: data.number, hits: data.texts.map(find) };
  postMessage(answer);
};
