/** The lines of a stream, one by one. */

import { StreamError } from './stream.ts';
import type { LinesEvent, LogLine, Reason, StreamState } from './types.ts';

interface WithLines extends AsyncIterable<LinesEvent | { readonly type: string }> {
  readonly state: StreamState;
  readonly reason: Reason | null;
}

/** Iterate over lines until the stream ends; throw a `StreamError` if it fails. */
export function linesOf(stream: WithLines): AsyncIterableIterator<LogLine> {
  // Do this outside the generator, which runs only once its first line is requested.
  const events = stream[Symbol.asyncIterator]();
  return eachLine({ [Symbol.asyncIterator]: () => events }, stream);
}

async function* eachLine(
  events: AsyncIterable<LinesEvent | { readonly type: string }>,
  stream: WithLines,
): AsyncGenerator<LogLine, void, undefined> {
  for await (const event of events) {
    if (event.type === 'lines') yield* (event as LinesEvent).lines;
  }
  if (stream.state === 'failed' && stream.reason !== null) throw new StreamError(stream.reason);
}
