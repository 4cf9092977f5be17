/** The DOM of one row. Text of a log only ever becomes text nodes. */

import { ago, count, delta, localTime, utcTime } from '../format';
import { type Colour, PLAIN, type Shown, type Style, show } from './ansi';
import { BACKGROUND, PALETTE, plain, readable, TURNS } from './colour';
import { detailsOf } from './details';
import { element } from './dom';
import type { Entry } from './entry';
import { keyRanges } from './fields';
import { ROW_CHARS } from './limits';
import { cut, type Segment, segmentsOf } from './segments';

export type Timestamps = 'off' | 'local' | 'utc' | 'relative' | 'delta';
export type Theme = 'dark' | 'light';

export interface Source {
  readonly name: string;
  readonly turn: number;
}

/** The inputs to the appearance of a row, besides its entry. */
export interface Look {
  readonly timestamps: Timestamps;
  readonly theme: Theme;
  /** The server's current time. */
  readonly now: () => number;
  /** The source of a line, if there are several logs. */
  readonly source: (app: number) => Source | null;
}

export function rowOf(entry: Entry, previous: Entry | undefined, look: Look): HTMLElement {
  return entry.kind === 'line' ? lineRow(entry, previous, look) : markRow(entry);
}

function lineRow(entry: Entry, previous: Entry | undefined, look: Look): HTMLElement {
  const row = element('div', `row line ${entry.level}`);
  row.dataset.time = entry.time;
  row.dataset.stream = entry.stream;
  row.dataset.level = entry.level;
  const line = element('div', 'cells');
  line.append(opener(entry));
  if (look.timestamps !== 'off') line.append(timeCell(entry, previous, look));
  const source = look.source(entry.app);
  if (source !== null) {
    const badge = element('span', `source turn-${source.turn % TURNS}`);
    badge.textContent = source.name;
    line.append(badge);
  }
  if (entry.stream === 'stderr') {
    const badge = element('abbr', 'stderr');
    badge.title = 'stderr';
    badge.textContent = 'err';
    line.append(badge);
  }
  line.append(textCell(entry, look.theme));
  row.append(line);
  if (entry.open) row.append(detailsOf(entry));
  return row;
}

function opener(entry: Entry): HTMLElement {
  const button = element('button', 'opener') as HTMLButtonElement;
  button.type = 'button';
  button.tabIndex = -1;
  button.dataset.act = 'open';
  button.setAttribute('aria-label', 'Details of the line');
  button.setAttribute('aria-expanded', String(entry.open));
  return button;
}

/** Return a time in the chosen format. */
export function timeText(entry: Entry, previous: Entry | undefined, look: Look): string {
  switch (look.timestamps) {
    case 'local':
      return localTime(entry.ms, look.now());
    case 'utc':
      return utcTime(entry.ms, look.now());
    case 'relative':
      return ago(look.now() - entry.ms);
    case 'delta':
      return previous === undefined ? '' : delta(entry.ms - previous.ms);
    case 'off':
      return '';
  }
}

function timeCell(entry: Entry, previous: Entry | undefined, look: Look): HTMLElement {
  const time = element('time', `time ${look.timestamps}`) as HTMLTimeElement;
  time.dateTime = entry.time;
  time.title = entry.time;
  time.textContent = timeText(entry, previous, look);
  return time;
}

function textCell(entry: Entry, theme: Theme): HTMLElement {
  const cell = element('span', 'text');
  const json = entry.raw !== entry.text && entry.raw.trimStart().startsWith('{');
  const shown: Shown = json ? { text: entry.text, spans: [] } : show(entry.raw);
  const long = shown.text.length > ROW_CHARS;
  const structured = json || entry.text.includes('=');
  const keys = structured && !long ? keyRanges(entry.raw, entry.text) : [];
  for (const segment of segmentsOf(shown, entry.hits, keys, ROW_CHARS)) {
    cell.append(segmentNode(segment, theme));
  }
  if (long) {
    const rest = shown.text.length - cut(shown.text, ROW_CHARS).length;
    const more = element('button', 'rest') as HTMLButtonElement;
    more.type = 'button';
    more.tabIndex = -1;
    more.dataset.act = 'open';
    more.textContent = `… ${count(rest)} more characters`;
    cell.append(more);
  }
  return cell;
}

function segmentNode(segment: Segment, theme: Theme): Node {
  const { text, style, term, href, part, control } = segment;
  if (control !== null) {
    const mark = element('span', 'control');
    mark.title = 'An invisible character of the line';
    mark.textContent = control;
    return mark;
  }
  let node: Node = document.createTextNode(text);
  if (style !== null && style !== PLAIN) node = wrap(styled(style, theme), node);
  if (part === 'key') node = wrap(element('span', 'key'), node);
  if (term !== null) node = wrap(element('mark', `term-${term % TURNS}`), node);
  if (href !== null) {
    const link = element('a', 'link') as HTMLAnchorElement;
    link.href = href;
    link.rel = 'noopener noreferrer';
    link.target = '_blank';
    link.tabIndex = -1;
    node = wrap(link, node);
  }
  return node;
}

function wrap(outer: HTMLElement, inner: Node): HTMLElement {
  outer.append(inner);
  return outer;
}

function styled(style: Style, theme: Theme): HTMLElement {
  const span = element('span', styleClasses(style));
  const resolve = (colour: Colour | null) =>
    colour === null ? null : colour < 16 ? (PALETTE[theme][colour] ?? null) : colour;
  let fg = resolve(style.fg);
  let bg = resolve(style.bg);
  if (style.inverse) {
    [fg, bg] = [bg ?? BACKGROUND[theme], fg ?? (PALETTE[theme][7] as Colour)];
  }
  // Set it through the CSSOM: the page's policy allows that but forbids a style attribute.
  if (bg !== null) span.style.backgroundColor = plain(bg);
  if (fg !== null || bg !== null) {
    const on = bg ?? BACKGROUND[theme];
    span.style.color = readable(fg ?? (PALETTE[theme][7] as Colour), on);
  }
  return span;
}

function styleClasses({ bold, dim, italic, underline, strike }: Style): string {
  const flags = { bold, dim, italic, underline, strike };
  return Object.entries(flags)
    .filter(([, on]) => on)
    .map(([name]) => name)
    .join(' ');
}

function markRow(entry: Entry): HTMLElement {
  const row = element('div', `row mark ${entry.kind}`);
  row.dataset.mark = entry.kind;
  row.dataset.at = entry.time;
  if (entry.kind === 'step') {
    const button = element('button', 'step') as HTMLButtonElement;
    button.type = 'button';
    button.dataset.act = 'fold';
    button.setAttribute('aria-expanded', String(entry.open));
    button.textContent = entry.text;
    row.append(button);
  } else {
    const text = element('span', 'what');
    text.textContent = entry.text;
    row.append(text);
  }
  return row;
}
