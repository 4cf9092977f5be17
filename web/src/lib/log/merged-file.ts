/** Several whole logs as one file, merged by time, as `mist logs --timestamps` prints them. */

import type { OlderLinesOptions } from '@mist/client';
import { nameOf } from '../apps.svelte';
import { fileName, save } from './download';
import { Forward } from './reel';
import { Reels } from './reels';

/** The lines to take at once, and to ask for if each request begins anew. */
const TAKEN = 2000;
const ASKED = 20_000;
/** The characters after which text goes to the browser, which may put it on the disk. */
const PIECE_CHARS = 4_000_000;

/**
 * Save the lines of logs as a file, and return how many there are. `progress` is called with
 * the number of lines so far.
 */
export async function saveMerged(
  sources: readonly number[],
  choice: OlderLinesOptions,
  signal: AbortSignal,
  progress: (lines: number) => void,
): Promise<number> {
  const reading = { size: sources.length > 2 ? ASKED : TAKEN, choice, tell: () => {} };
  const reels = new Reels(
    sources.map((source) => new Forward(source, reading, '', [], null)),
    'asc',
  );
  const width = Math.max(...sources.map((source) => nameOf(source).length));
  const pieces: Blob[] = [];
  let [lines, text, from, to] = [0, '', '', ''];
  try {
    while (!reels.ended && reels.problem === '') {
      for (const { app, time, raw } of await reels.take(TAKEN, signal)) {
        text += `${nameOf(app).padEnd(width)} | ${time} ${raw}\n`;
        from ||= time;
        to = time;
        lines += 1;
      }
      signal.throwIfAborted();
      progress(lines);
      if (text.length > PIECE_CHARS) {
        pieces.push(new Blob([text]));
        text = '';
      }
    }
    if (reels.problem !== '') throw new Error(reels.problem);
  } finally {
    reels.close();
  }
  if (lines > 0) save(fileName(sources.map(nameOf), from, to), [...pieces, text]);
  return lines;
}
