/**
 * Compare and shift engine times as text, because they have nanoseconds and a `Date` has
 * only milliseconds. The service writes all of them in one fixed-width form.
 */

const RFC3339 = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-]\d\d:\d\d))$/;
const SERVICE_LENGTH = '2025-01-15T10:30:00.000000000Z'.length;

/** Compare two RFC 3339 times to the nanosecond, as a comparator for `Array.prototype.sort`. */
export function compareTimes(a: string, b: string): number {
  const left = normalizeTime(a);
  const right = normalizeTime(b);
  return left < right ? -1 : Number(left > right);
}

/** Return true for an RFC 3339 time. */
export function isTime(text: string): boolean {
  return RFC3339.test(text);
}

/**
 * Return an RFC 3339 time in the form of the service: UTC, nine digits of a second, whose
 * order as text is the order in time. Return other texts unchanged.
 */
export function normalizeTime(time: string): string {
  if (time.length === SERVICE_LENGTH && time.endsWith('Z')) return time;
  const match = RFC3339.exec(time);
  if (match === null) return time;
  const [, date, clock, fraction = '', offset = 'Z'] = match;
  const seconds = Date.parse(`${date}T${clock}${offset}`);
  if (Number.isNaN(seconds)) return time;
  return `${wholeSeconds(seconds)}.${fraction.slice(0, 9).padEnd(9, '0')}Z`;
}

/** Return a time of the service some milliseconds earlier; unchanged if it is not a time. */
export function earlier(time: string, milliseconds: number): string {
  const full = normalizeTime(time);
  const moment = Date.parse(`${full.slice(0, 23)}Z`);
  if (Number.isNaN(moment)) return time;
  return new Date(moment - milliseconds).toISOString().slice(0, 23) + full.slice(23);
}

function wholeSeconds(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(0, 19);
}
