/**
 * The rows of a view with their heights, in blocks: a hundred thousand rows are two hundred
 * blocks, so finding the row at a height takes a few hundred numbers.
 */

import { lowerBound } from './buffer';
import type { Entry } from './entry';

const BLOCK = 512;

interface Block {
  entries: Entry[];
  heights: number[];
  height: number;
}

export interface Place {
  readonly index: number;
  /** The top of the row, in pixels from the top of the first one. */
  readonly top: number;
}

export class Rows {
  #blocks: Block[] = [];
  #length = 0;
  #height = 0;

  get length(): number {
    return this.#length;
  }

  get height(): number {
    return this.#height;
  }

  push(entry: Entry, height: number): void {
    let block = this.#blocks[this.#blocks.length - 1];
    if (block === undefined || block.entries.length >= BLOCK) {
      block = { entries: [], heights: [], height: 0 };
      this.#blocks.push(block);
    }
    block.entries.push(entry);
    block.heights.push(height);
    block.height += height;
    this.#length += 1;
    this.#height += height;
  }

  /** Drop the rows before a position in the log. */
  dropBefore(order: number): void {
    let block = this.#blocks[0];
    while (block !== undefined && (block.entries[0] as Entry).order < order) {
      const last = block.entries[block.entries.length - 1] as Entry;
      if (last.order < order) {
        this.#blocks.shift();
        this.#length -= block.entries.length;
        this.#height -= block.height;
      } else {
        const { entries } = block;
        const count = lowerBound(entries.length, (i) => (entries[i] as Entry).order < order);
        const gone = block.heights.splice(0, count).reduce((sum, each) => sum + each, 0);
        entries.splice(0, count);
        block.height -= gone;
        this.#length -= count;
        this.#height -= gone;
      }
      block = this.#blocks[0];
    }
  }

  /** Insert entries that follow one another, at their place. */
  insert(entries: readonly Entry[], measure: (entry: Entry) => number): void {
    const first = entries[0];
    if (first === undefined) return;
    const [before, after] = this.#split(first.order);
    const made = new Rows();
    for (const entry of entries) made.push(entry, measure(entry));
    this.#blocks = [...before, ...made.#blocks, ...after];
    this.#length += made.length;
    this.#height += made.height;
  }

  /** Drop the rows at and after one position, and before another one. */
  dropBetween(from: number, to: number): void {
    const [before, rest] = this.#split(from);
    this.#blocks = rest;
    const [gone, after] = this.#split(to);
    this.#blocks = [...before, ...after];
    for (const { entries, height } of gone) {
      this.#length -= entries.length;
      this.#height -= height;
    }
  }

  /** Return the blocks before a position, and the others, as copies where one is cut. */
  #split(order: number): [Block[], Block[]] {
    const blocks = this.#blocks;
    const number = lowerBound(blocks.length, (i) => {
      const { entries } = blocks[i] as Block;
      return (entries[entries.length - 1] as Entry).order < order;
    });
    const cut = blocks[number];
    if (cut === undefined) return [blocks, []];
    const { entries, heights } = cut;
    const at = lowerBound(entries.length, (i) => (entries[i] as Entry).order < order);
    if (at === 0) return [blocks.slice(0, number), blocks.slice(number)];
    const block = (from: number, to: number): Block => {
      const part = heights.slice(from, to);
      const height = part.reduce((sum, each) => sum + each, 0);
      return { entries: entries.slice(from, to), heights: part, height };
    };
    return [
      [...blocks.slice(0, number), block(0, at)],
      [block(at, entries.length), ...blocks.slice(number + 1)],
    ];
  }

  at(index: number): Entry | undefined {
    const [block, offset] = this.#locate(index);
    return block?.entries[offset];
  }

  heightAt(index: number): number {
    const [block, offset] = this.#locate(index);
    return block?.heights[offset] ?? 0;
  }

  setHeight(index: number, height: number): void {
    const [block, offset] = this.#locate(index);
    if (block === undefined) return;
    const change = height - (block.heights[offset] ?? 0);
    block.heights[offset] = height;
    block.height += change;
    this.#height += change;
  }

  /** Return the row at a height, or the last one if the height is below all rows. */
  atHeight(y: number): Place {
    let index = 0;
    let top = 0;
    for (const block of this.#blocks) {
      if (top + block.height > y) {
        for (const height of block.heights) {
          if (top + height > y) return { index, top };
          top += height;
          index += 1;
        }
      }
      top += block.height;
      index += block.entries.length;
    }
    const last = Math.max(0, this.#length - 1);
    return { index: last, top: Math.max(0, this.#height - this.heightAt(last)) };
  }

  /** Return the top of a row. */
  topOf(index: number): number {
    let top = 0;
    let left = index;
    for (const block of this.#blocks) {
      if (left < block.entries.length) {
        for (let i = 0; i < left; i++) top += block.heights[i] as number;
        return top;
      }
      top += block.height;
      left -= block.entries.length;
    }
    return top;
  }

  /** Return the index of the first row at or after a position in the log. */
  indexOf(order: number): number {
    const blocks = this.#blocks;
    const number = lowerBound(blocks.length, (i) => {
      const { entries } = blocks[i] as Block;
      return (entries[entries.length - 1] as Entry).order < order;
    });
    let index = 0;
    for (let i = 0; i < number; i++) index += (blocks[i] as Block).entries.length;
    const entries = blocks[number]?.entries;
    if (entries === undefined) return index;
    return index + lowerBound(entries.length, (i) => (entries[i] as Entry).order < order);
  }

  *entries(): Generator<Entry> {
    for (const block of this.#blocks) yield* block.entries;
  }

  /** Call a function with every entry and its top. */
  each(visit: (entry: Entry, top: number) => void): void {
    let top = 0;
    for (const { entries, heights } of this.#blocks) {
      for (let i = 0; i < entries.length; i++) {
        visit(entries[i] as Entry, top);
        top += heights[i] as number;
      }
    }
  }

  /** Compute all heights again. */
  remeasure(measure: (entry: Entry) => number): void {
    this.#height = 0;
    for (const block of this.#blocks) {
      block.heights = block.entries.map(measure);
      block.height = block.heights.reduce((sum, each) => sum + each, 0);
      this.#height += block.height;
    }
  }

  #locate(index: number): [Block | undefined, number] {
    let left = index;
    if (left < 0) return [undefined, 0];
    // Search from the end, because a live view is there.
    if (index >= this.#length / 2) {
      let after = this.#length;
      for (let i = this.#blocks.length - 1; i >= 0; i--) {
        const block = this.#blocks[i] as Block;
        after -= block.entries.length;
        if (index >= after) return [block, index - after];
      }
    }
    for (const block of this.#blocks) {
      if (left < block.entries.length) return [block, left];
      left -= block.entries.length;
    }
    return [undefined, 0];
  }
}
