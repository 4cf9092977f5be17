/**
 * A virtual list: only visible rows exist, in a box that scrolls as if all did.
 *
 * It uses the DOM directly, because at thousands of lines a second every row changes in
 * every frame, and a framework between a line and its element would cost too much.
 */

import { element } from './dom';
import type { Entry } from './entry';
import { ROW_CHARS } from './limits';
import { type Look, rowOf, timeText } from './row';
import type { LogView } from './view';

export interface ListEvents {
  /** The reader left the end of the log, or returned to it. */
  following(value: boolean): void;
  /** A button of a row. */
  act(name: string, entry: Entry, key: string): void;
  /** The reader has moved, and wants to see what is there. */
  moved?(): void;
  /** Another line is the current one. */
  current(entry: Entry | null): void;
}

export interface ListLook extends Look {
  readonly wrap: boolean;
}

/** The number of rows to keep above and below the visible ones. */
const OVERSCAN = 6;
/** With more new rows than this, the next frame is delayed: readers are not that fast. */
const FAST_ROWS = 16;
const FAST_GAP_MS = 100;
/** The distance from the end that still counts as the end. */
const END_PX = 3;

export class LogList {
  following = true;
  current: Entry | null = null;

  readonly #scroller: HTMLElement;
  readonly #view: LogView;
  readonly #events: ListEvents;
  readonly #space = element('div', 'space');
  readonly #rows = element('div', 'rows');
  readonly #shown = new Map<Entry, HTMLElement>();
  readonly #resize: ResizeObserver;
  readonly #stop = new AbortController();
  #look: ListLook;
  #rowHeight = 20;
  #columns = 100;
  #frame = 0;
  #timer = 0;
  #lastPaint = 0;
  #hurried = false;
  /**
   * The reader's position: a row, and the distance from its top to the top of the box. A row
   * that is put elsewhere takes the reader along.
   */
  #anchor: { entry: Entry; offset: number } | null = null;
  #lastTop = 0;

  constructor(scroller: HTMLElement, view: LogView, look: ListLook, events: ListEvents) {
    this.#scroller = scroller;
    this.#view = view;
    this.#look = look;
    this.#events = events;
    this.#space.append(this.#rows);
    scroller.append(this.#space);
    const on = { signal: this.#stop.signal, passive: true } as const;
    scroller.addEventListener('scroll', () => this.#scrolled(), on);
    scroller.addEventListener('wheel', (event) => event.deltaY < 0 && this.#wheeledUp(), on);
    scroller.addEventListener('click', (event) => this.#clicked(event), on);
    this.#resize = new ResizeObserver(() => this.#measureBox());
    this.#resize.observe(scroller);
    view.onchange = (rearranged) => (rearranged ? this.redraw() : this.schedule());
    this.#measureBox();
  }

  close(): void {
    this.#stop.abort();
    this.#resize.disconnect();
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#space.remove();
  }

  setLook(look: ListLook): void {
    this.#look = look;
    this.#measureBox();
    this.redraw();
  }

  /** Draw all visible rows again, and keep the reader's position. */
  redraw(): void {
    this.#forget();
    this.schedule();
  }

  pause(): void {
    // If everything is visible, there is nothing to scroll to and no reason to pause.
    if (this.following && this.#view.rows.height > this.#scroller.clientHeight) this.hold();
  }

  /** Stay at this position when new lines arrive. */
  hold(): void {
    if (!this.following) return;
    this.following = false;
    this.#events.following(false);
  }

  /** Go to the end, and stay there. */
  follow(): void {
    this.#setCurrent(null);
    if (!this.following) {
      this.following = true;
      this.#events.following(true);
    }
    this.#paintSoon();
  }

  top(): void {
    this.hold();
    this.#anchor = null;
    this.#scroller.scrollTop = 0;
    this.#paintSoon();
  }

  /** Make an entry the current one and scroll to it. */
  reveal(entry: Entry): void {
    this.hold();
    this.#setCurrent(entry);
    const { rows } = this.#view;
    const index = rows.indexOf(entry.order);
    const top = rows.topOf(index);
    const { scrollTop, clientHeight } = this.#scroller;
    if (top < scrollTop + this.#rowHeight || top > scrollTop + clientHeight - 3 * this.#rowHeight) {
      this.#sizeSpace();
      this.#scroller.scrollTop = Math.max(0, top - clientHeight / 3);
      // This is not the reader's own scrolling, which would return to live at the end.
      this.#lastTop = this.#scroller.scrollTop;
    }
    this.#anchor = null;
    this.#paintSoon();
  }

  /** Make the first line the current one. */
  first(): void {
    const entry = this.#view.rows.at(0);
    if (entry !== undefined) this.reveal(entry);
  }

  /** Move the current line by one. */
  step(by: 1 | -1): void {
    const { rows } = this.#view;
    let index =
      this.current === null
        ? rows.atHeight(this.#scroller.scrollTop + this.#scroller.clientHeight / 2).index
        : rows.indexOf(this.current.order) + by;
    while (index > 0 && index < rows.length && rows.at(index)?.kind !== 'line') index += by;
    const entry = rows.at(Math.max(0, Math.min(index, rows.length - 1)));
    if (entry !== undefined) this.reveal(entry);
  }

  /** Open or close the details of a line. */
  toggle(entry: Entry): void {
    this.hold();
    entry.open = !entry.open;
    this.#redrawRow(entry);
    this.#setCurrent(entry);
    const row = this.#shown.get(entry);
    if (document.activeElement === document.body && row !== undefined) this.#scroller.focus();
  }

  /** The position of the entry at the top of the box. */
  get place(): number {
    const { rows } = this.#view;
    if (this.following) return Number.POSITIVE_INFINITY;
    if (this.#anchor !== null) return this.#anchor.entry.order;
    return rows.at(rows.atHeight(this.#scroller.scrollTop).index)?.order ?? 0;
  }

  /** The indices of the first and the last visible row. */
  get range(): readonly [first: number, last: number] {
    const { rows } = this.#view;
    const { scrollTop, clientHeight } = this.#scroller;
    return [rows.atHeight(scrollTop).index, rows.atHeight(scrollTop + clientHeight).index];
  }

  /** Paint in the next frame, or slightly later while many rows pass. */
  schedule(): void {
    if (this.#frame !== 0 || this.#timer !== 0) return;
    const wait = this.#hurried ? this.#lastPaint + FAST_GAP_MS - performance.now() : 0;
    if (wait > 4) {
      this.#timer = window.setTimeout(() => {
        this.#timer = 0;
        this.#paintSoon();
      }, wait);
    } else {
      this.#paintSoon();
    }
  }

  /** Update relative times. */
  tick(): void {
    if (this.#look.timestamps !== 'relative') return;
    for (const [entry, row] of this.#shown) {
      const cell = row.querySelector('time');
      if (cell !== null) cell.textContent = timeText(entry, undefined, this.#look);
    }
  }

  #paintSoon(): void {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#paint());
  }

  #paint(): void {
    this.#frame = 0;
    this.#lastPaint = performance.now();
    this.#settle();
    let fresh = this.#renderWindow();
    // Heights are estimates until a row is laid out; two passes are enough to settle.
    for (let round = 0; round < 2 && this.#correctHeights(); round++) {
      this.#settle();
      fresh += this.#renderWindow();
    }
    this.#hurried = fresh > FAST_ROWS;
    this.#remember();
  }

  /** Set the height and the position of the box. */
  #settle(): void {
    this.#sizeSpace();
    const { rows } = this.#view;
    const box = this.#scroller;
    if (this.following) {
      box.scrollTop = Math.max(0, rows.height - box.clientHeight);
    } else if (this.#anchor !== null) {
      const top = rows.topOf(rows.indexOf(this.#anchor.entry.order)) - this.#anchor.offset;
      if (Math.abs(top - box.scrollTop) > 0.5) box.scrollTop = top;
    }
    this.#lastTop = box.scrollTop;
  }

  #sizeSpace(): void {
    this.#space.style.height = `${this.#view.rows.height}px`;
  }

  /** Put the visible rows into the DOM; return the number of new ones. */
  #renderWindow(): number {
    const { rows } = this.#view;
    const box = this.#scroller;
    const margin = OVERSCAN * this.#rowHeight;
    const from = rows.atHeight(Math.max(0, box.scrollTop - margin));
    const end = box.scrollTop + box.clientHeight + margin;
    const wanted: Entry[] = [];
    for (let index = from.index, top = from.top; top < end && index < rows.length; index++) {
      wanted.push(rows.at(index) as Entry);
      top += rows.heightAt(index);
    }
    const keep = new Set(wanted);
    for (const [entry, row] of this.#shown) {
      if (!keep.has(entry)) {
        row.remove();
        this.#shown.delete(entry);
      }
    }
    this.#rows.style.transform = `translateY(${from.top}px)`;
    return this.#place(wanted, rows.at(from.index - 1));
  }

  #place(wanted: readonly Entry[], before: Entry | undefined): number {
    let fresh = 0;
    let next = this.#rows.firstChild;
    let previous = before;
    for (const entry of wanted) {
      let row = this.#shown.get(entry);
      if (row === undefined) {
        row = this.#makeRow(entry, previous);
        fresh += 1;
      }
      if (row === next) next = next.nextSibling;
      else this.#rows.insertBefore(row, next);
      previous = entry;
    }
    return fresh;
  }

  #makeRow(entry: Entry, previous: Entry | undefined): HTMLElement {
    const row = rowOf(entry, previous, this.#look);
    if (entry === this.current) mark(row, true);
    this.#shown.set(entry, row);
    return row;
  }

  #correctHeights(): boolean {
    const { rows } = this.#view;
    let changed = false;
    for (const [entry, row] of this.#shown) {
      if (!this.#look.wrap && !entry.open) continue;
      const index = rows.indexOf(entry.order);
      const height = row.offsetHeight;
      if (rows.at(index) === entry && Math.abs(rows.heightAt(index) - height) >= 1) {
        rows.setHeight(index, height);
        changed = true;
      }
    }
    return changed;
  }

  #remember(): void {
    const { rows } = this.#view;
    const { index, top } = rows.atHeight(this.#scroller.scrollTop);
    const entry = rows.at(index);
    this.#anchor = entry === undefined ? null : { entry, offset: top - this.#scroller.scrollTop };
  }

  #scrolled(): void {
    const box = this.#scroller;
    const moved = box.scrollTop - this.#lastTop;
    if (Math.abs(moved) < 1) return;
    this.#lastTop = box.scrollTop;
    this.#remember();
    const atEnd = box.scrollTop + box.clientHeight >= this.#view.rows.height - END_PX;
    if (moved < 0 && !atEnd) this.pause();
    else if (moved > 0 && atEnd && !this.following) this.follow();
    this.#paintSoon();
    if (!this.following) this.#events.moved?.();
  }

  #wheeledUp(): void {
    this.pause();
    this.#events.moved?.();
  }

  #clicked(event: MouseEvent): void {
    const target = event.target as Element;
    const row = target.closest<HTMLElement>('.row');
    const entry = [...this.#shown].find(([, each]) => each === row)?.[0];
    if (entry === undefined) return;
    const button = target.closest<HTMLElement>('[data-act]');
    if (button?.dataset.act === 'open') this.toggle(entry);
    else if (button?.dataset.act === 'more-of-line') this.#paintSoon();
    else if (button != null) {
      this.#events.act(button.dataset.act ?? '', entry, button.dataset.key ?? '');
    } else if (entry.kind === 'line' && target.closest('a') === null && noSelection()) {
      if (!this.following) this.#setCurrent(entry);
    }
  }

  #redrawRow(entry: Entry): void {
    const row = this.#shown.get(entry);
    if (row !== undefined) {
      const { rows } = this.#view;
      const index = rows.indexOf(entry.order);
      const fresh = rowOf(entry, rows.at(index - 1), this.#look);
      const focused = row.contains(document.activeElement);
      row.replaceWith(fresh);
      this.#shown.set(entry, fresh);
      if (entry === this.current) mark(fresh, true);
      if (focused) fresh.querySelector<HTMLElement>('[data-act=open]')?.focus();
      if (entry.open) this.#showAll(fresh);
      else rows.setHeight(index, this.#heightOf(entry));
    }
    this.#paintSoon();
  }

  /** Scroll down until a row is fully visible, including its details. */
  #showAll(row: HTMLElement): void {
    const box = this.#scroller;
    const below = row.getBoundingClientRect().bottom - box.getBoundingClientRect().bottom;
    if (below <= 0) return;
    const room = row.getBoundingClientRect().top - box.getBoundingClientRect().top;
    box.scrollTop += Math.min(below, room);
    this.#lastTop = box.scrollTop;
    this.#anchor = null;
  }

  #setCurrent(entry: Entry | null): void {
    if (entry === this.current) return;
    for (const [each, on] of [
      [this.current, false],
      [entry, true],
    ] as const) {
      const row = each === null ? undefined : this.#shown.get(each);
      if (row !== undefined) mark(row, on);
    }
    this.current = entry;
    this.#events.current(entry);
  }

  #forget(): void {
    for (const row of this.#shown.values()) row.remove();
    this.#shown.clear();
  }

  /** Measure a character and the box, and estimate all heights from them. */
  #measureBox(): void {
    const probe = element('div', 'row line probe');
    const cells = element('div', 'cells');
    const text = element('span', 'text');
    text.textContent = '0'.repeat(50);
    cells.append(text);
    probe.append(cells);
    this.#rows.append(probe);
    this.#rowHeight = Math.max(8, cells.getBoundingClientRect().height);
    const range = document.createRange();
    range.selectNodeContents(text);
    const width = range.getBoundingClientRect().width / 50 || 8;
    probe.remove();
    const before = { off: 3, relative: 13, delta: 13, local: 16, utc: 17 }[this.#look.timestamps];
    this.#columns = Math.max(10, Math.floor(this.#scroller.clientWidth / width) - before);
    this.#view.setMeasure((entry) => this.#heightOf(entry));
    this.schedule();
  }

  #heightOf(entry: Entry): number {
    if (!this.#look.wrap || entry.kind !== 'line') return this.#rowHeight;
    const length = Math.min(entry.text.length, ROW_CHARS);
    return this.#rowHeight * Math.max(1, Math.ceil(length / this.#columns));
  }
}

function mark(row: HTMLElement, on: boolean): void {
  row.classList.toggle('current', on);
  if (on) row.setAttribute('aria-current', 'true');
  else row.removeAttribute('aria-current');
}

function noSelection(): boolean {
  return document.getSelection()?.isCollapsed !== false;
}
