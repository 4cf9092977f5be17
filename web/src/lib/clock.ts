/** The server's clock, by the `Date` of its answers: the one that log lines go by. */

/** A difference below this is a clock that is not set by the second, and says nothing. */
const NOTICEABLE_MS = 120_000;

let offset = 0;

/** Take note of the date of an answer that arrived just now. */
export function noteServerDate(header: string | null): void {
  const date = header === null ? Number.NaN : Date.parse(header);
  if (Number.isNaN(date)) return;
  // The header is cut to whole seconds.
  const found = date + 500 - Date.now();
  offset = Math.abs(found) < 1500 ? 0 : found;
}

/** The server's time of now, in milliseconds. */
export function serverNow(): number {
  return Date.now() + offset;
}

/** How far this browser's clock is behind the server's, in milliseconds, if anybody would notice. */
export function clockError(): number {
  return Math.abs(offset) < NOTICEABLE_MS ? 0 : offset;
}
