/**
 * The logs of a view by number: an application's id, or a negative number that stands for
 * the name of any other container. It follows from the name, so that what the page remembers
 * about a log is still right after it was reloaded.
 */

import { TURNS } from './log/colour';

/** The largest number of logs to choose for one view: as many as there are colours. */
export const MOST_LOGS = TURNS;

const names = new Map<number, string>();

/** Return the number of a container without an application. */
export function sourceOf(container: string): number {
  const source = -1 - hash(container);
  names.set(source, container);
  return source;
}

/** Return the container that a number stands for; undefined for an application's id. */
export function containerOf(source: number): string | undefined {
  return names.get(source);
}

/** Return what the service calls a log. */
export function optionsOf(source: number): { appId: number } | { container: string } {
  const container = containerOf(source);
  return container === undefined ? { appId: source } : { container };
}

/** Return the part of an address that names a log: `app=3`, `container=web`. */
export function paramOf(source: number): string {
  const container = containerOf(source);
  return container === undefined ? `app=${source}` : `container=${encodeURIComponent(container)}`;
}

/** Return the address of the view of some logs, merged or side by side. */
export function logAddress(sources: readonly number[], side = false): string {
  return `log?${sources.map(paramOf).join('&')}${side && sources.length > 1 ? '&view=side' : ''}`;
}

const given = new Map<number, number>();

/**
 * Return a colour, by number, for each of the logs that are shown together. A log keeps its
 * colour, whichever others are shown, unless one before it has the same.
 */
export function turnsOf(sources: readonly number[]): ReadonlyMap<number, number> {
  const found = new Map<number, number>();
  const taken = new Set<number>();
  // Colours that were given before come first, so that a new log does not take one away.
  const order = [...sources].sort((a, b) => Number(given.has(b)) - Number(given.has(a)) || a - b);
  for (const source of order) {
    let turn = given.get(source) ?? (Math.abs(source) - 1) % TURNS;
    while (taken.has(turn) && taken.size < TURNS) turn = (turn + 1) % TURNS;
    taken.add(turn);
    given.set(source, turn);
    found.set(source, turn);
  }
  return found;
}

/** 53 bits, the integers of a number (cyrb53). */
function hash(text: string): number {
  let [a, b] = [0xdeadbeef, 0x41c6ce57];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return 4294967296 * (2097151 & b) + (a >>> 0);
}
