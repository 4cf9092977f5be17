/** The server's clock, which log lines use, taken from the `Date` of its responses. */

/** A smaller difference only means that a clock is not set to the second. */
const NOTICEABLE_MS = 120_000;

let offset = 0;

/** Record the date of a response that has just arrived. */
export function noteServerDate(header: string | null): void {
  const date = header === null ? Number.NaN : Date.parse(header);
  if (Number.isNaN(date)) return;
  // The header is cut to whole seconds.
  const found = date + 500 - Date.now();
  offset = Math.abs(found) < 1500 ? 0 : found;
}

/** The server's current time, in milliseconds. */
export function serverNow(): number {
  return Date.now() + offset;
}

/** How far this browser's clock is behind the server's, in milliseconds, if noticeable. */
export function clockError(): number {
  return Math.abs(offset) < NOTICEABLE_MS ? 0 : offset;
}
