/** A shown line as segments: pieces of text with their formatting. */

import type { Shown, Style } from './ansi';
import type { Hits } from './entry';

export interface Segment {
  readonly text: string;
  readonly style: Style | null;
  /** The number of the search term that matched. */
  readonly term: number | null;
  readonly href: string | null;
  readonly part: 'key' | null;
  /** A character that is invisible or reorders others, shown by its code point. */
  readonly control: string | null;
}

export interface KeyRange {
  readonly start: number;
  readonly end: number;
}

const URL_IN_TEXT =
  /\bhttps?:\/\/[^\s<>"'`{}|\\^\u0000-\u0020\u200e\u200f\u202a-\u202e\u2066-\u2069]+/g;
/** Punctuation after an address belongs to the sentence. */
const TRAILING = /[.,;:!?)\]]+$/;

/** Bidirectional controls (UAX #9), line and paragraph separators. */
const CONTROL = /[\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Cut the first `limit` characters of a line into segments. */
export function segmentsOf(
  shown: Shown,
  hits: Hits | null,
  keys: readonly KeyRange[],
  limit: number,
): Segment[] {
  const text = cut(shown.text, limit);
  const links = linksIn(text);
  const controls = [...text.matchAll(CONTROL)].map(({ index }) => index);
  const cuts = new Set<number>([0, text.length]);
  const add = (start: number, end: number) => {
    if (start < text.length) cuts.add(start);
    if (end < text.length) cuts.add(end);
  };
  for (const { start, end } of shown.spans) add(start, end);
  for (const { start, end } of links) add(start, end);
  for (const { start, end } of keys) add(start, end);
  for (const index of controls) add(index, index + 1);
  for (let i = 0; hits !== null && i < hits.length; i += 3) {
    add(hits[i] as number, hits[i + 1] as number);
  }
  const at = [...cuts].sort((a, b) => a - b);
  return at.slice(0, -1).map((start, i) => {
    const piece = text.slice(start, at[i + 1]);
    return {
      text: piece,
      style: inside(shown.spans, start)?.style ?? null,
      term: termAt(hits, start),
      href: inside(links, start)?.href ?? null,
      part: inside(keys, start) ? 'key' : null,
      control: controls.includes(start) ? codePoint(piece) : null,
    };
  });
}

/** Cut a text without halving a surrogate pair. */
export function cut(text: string, limit: number): string {
  if (text.length <= limit) return text;
  const last = text.charCodeAt(limit - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? limit - 1 : limit);
}

interface Link extends KeyRange {
  readonly href: string;
}

function linksIn(text: string): Link[] {
  if (!text.includes('://')) return [];
  const links: Link[] = [];
  for (const match of text.matchAll(URL_IN_TEXT)) {
    const address = match[0].replace(TRAILING, '');
    const href = safeHref(address);
    if (href !== null) links.push({ start: match.index, end: match.index + address.length, href });
  }
  return links;
}

/** Return an address that may be a link: only http and https. */
export function safeHref(address: string): string | null {
  try {
    const { protocol, href } = new URL(address);
    return protocol === 'http:' || protocol === 'https:' ? href : null;
  } catch {
    return null;
  }
}

function inside<T extends KeyRange>(ranges: readonly T[], at: number): T | undefined {
  return ranges.find(({ start, end }) => start <= at && at < end);
}

function termAt(hits: Hits | null, at: number): number | null {
  for (let i = 0; hits !== null && i < hits.length; i += 3) {
    if ((hits[i] as number) <= at && at < (hits[i + 1] as number)) return hits[i + 2] as number;
  }
  return null;
}

function codePoint(char: string): string {
  return `U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
}
