import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LogBuffer } from '../src/lib/log/buffer';
import { type Entry, lineEntry, markEntry } from '../src/lib/log/entry';
import { Rows } from '../src/lib/log/rows';

const at = (second: number) => new Date(Date.UTC(2025, 0, 15) + second * 1000).toISOString();
const line = (order: number, text = `line ${order}`): Entry =>
  lineEntry(order, { app: 1, time: at(order), stream: 'stdout', line: text });

describe('the buffer', () => {
  test('keeps the newest lines', () => {
    const buffer = new LogBuffer({ lines: 1000, chars: 1e9 });
    for (let order = 0; order < 25_000; order++) {
      buffer.append([line(order)]);
      buffer.trim();
    }
    expect(buffer.length).toBe(1000);
    expect(buffer.at(0)?.order).toBe(24_000);
    expect(buffer.newest?.order).toBe(24_999);
    expect([...buffer].map(({ order }) => order)).toEqual(
      Array.from({ length: 1000 }, (_, i) => 24_000 + i),
    );
    expect(buffer.at(buffer.indexOf(24_500))?.order).toBe(24_500);
  });

  test('is bounded in characters too, and keeps one line whatever its size', () => {
    const buffer = new LogBuffer({ lines: 1000, chars: 100 });
    buffer.append([line(1, 'x'.repeat(60)), line(2, 'x'.repeat(60)), line(3, 'x'.repeat(500))]);
    expect(buffer.trim()).toBe(2);
    expect(buffer.length).toBe(1);
  });

  test('takes lines in between, and drops a part', () => {
    const buffer = new LogBuffer({ lines: 10, chars: 1e9 });
    buffer.append([line(5), line(6), line(7)]);
    buffer.insertAt(0, [line(1), line(2)]);
    buffer.insertAt(2, [line(3)]);
    const orders = () => [...buffer].map(({ order }) => order);
    expect(orders()).toEqual([1, 2, 3, 5, 6, 7]);
    expect(buffer.fill).toBe(0.6);
    const two = buffer.at(1) as Entry;
    expect(buffer.has(two)).toBe(true);
    buffer.remove(1, 4);
    expect(orders()).toEqual([1, 6, 7]);
    expect(buffer.has(two)).toBe(false);
  });

  test('puts no mark into lines that are not loaded', () => {
    const buffer = new LogBuffer();
    buffer.append([line(1), markEntry(2, 'hole', at(1), ''), line(9)]);
    expect(buffer.insert(markEntry(0, 'deployment', at(5), ''))).toBe(false);
    expect(buffer.insert(markEntry(0, 'deployment', at(9.5), ''))).toBe(true);
  });

  test('puts a mark where its time belongs', () => {
    const buffer = new LogBuffer();
    buffer.append([line(1), line(2), line(3)]);
    expect(buffer.insert(markEntry(0, 'deployment', at(2.5), 'deployed'))).toBe(true);
    expect([...buffer].map(({ kind }) => kind)).toEqual(['line', 'line', 'deployment', 'line']);
    const orders = [...buffer].map(({ order }) => order);
    expect(orders).toEqual([...orders].sort((a, b) => a - b));
    expect(buffer.insert(markEntry(0, 'deployment', at(0), 'before all'))).toBe(false);
  });

  test.each(['oldest', 'newest'])('has room for any number of marks, the %s first', (first) => {
    const buffer = new LogBuffer();
    // What is read may be this far from the live lines.
    const far = -(2 ** 34);
    buffer.append([line(1), line(2), line(3)]);
    buffer.insertAt(0, [
      { ...line(0), order: far },
      { ...line(1), order: far + 1 },
    ]);
    const marks = Array.from({ length: 1000 }, (_, i) => {
      return markEntry(0, 'start', at((i < 500 ? 0 : 2) + (i + 1) / 1001), '');
    });
    if (first === 'newest') marks.reverse();
    for (const mark of marks) expect(buffer.insert(mark)).toBe(true);
    const entries = [...buffer];
    const above = entries.every((each, i) => i === 0 || each.order > (entries[i - 1]?.order ?? 0));
    expect(above).toBe(true);
    expect(entries.map(({ ms }) => ms)).toEqual(entries.map(({ ms }) => ms).sort((a, b) => a - b));
    for (const mark of marks) expect(buffer.has(mark)).toBe(true);
  });

  test('has lines behind its marks, however many marks come after the last line', () => {
    const buffer = new LogBuffer();
    buffer.append([line(1)]);
    const marks = [2, 3, 4].map((second) => markEntry(0, 'deployment', at(second), ''));
    for (const mark of marks) expect(buffer.insert(mark)).toBe(true);
    const next = { ...line(5), order: buffer.end };
    buffer.append([next]);
    expect([...buffer].map(({ order }) => order)).toEqual([1, 2, 3, 4, 5]);
    expect(buffer.has(next)).toBe(true);
  });
});

describe('rows', () => {
  test('are found as a plain array would find them', () => {
    const operation = fc.oneof(
      fc.record({ push: fc.integer({ min: 1, max: 60 }), count: fc.integer({ min: 1, max: 700 }) }),
      fc.record({ drop: fc.double({ min: 0, max: 1, noNaN: true }) }),
      fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), insert: fc.nat(700) }),
      fc.record({ from: fc.double({ min: 0, max: 1, noNaN: true }), many: fc.nat(900) }),
      fc.record({ resize: fc.double({ min: 0, max: 0.999, noNaN: true }), height: fc.nat(90) }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 12 }), fc.nat(40_000), (operations, y) => {
        const rows = new Rows();
        let model: { entry: Entry; height: number }[] = [];
        let order = 0;
        for (const each of operations) {
          if ('push' in each) {
            for (let i = 0; i < each.count; i++) {
              order += 1;
              const entry = { order } as Entry;
              rows.push(entry, each.push);
              model.push({ entry, height: each.push });
            }
          } else if ('drop' in each) {
            const first = model[Math.floor(each.drop * model.length)]?.entry.order ?? order + 1;
            rows.dropBefore(first);
            model = model.filter(({ entry }) => entry.order >= first);
          } else if ('insert' in each) {
            const index = Math.floor(each.at * model.length);
            const before = model[index - 1]?.entry.order ?? -1e6;
            const after = model[index]?.entry.order ?? order + 1;
            const step = (after - before) / (each.insert + 1);
            const made = Array.from({ length: each.insert }, (_, i) => {
              return { entry: { order: before + step * (i + 1) } as Entry, height: 7 };
            });
            rows.insert(
              made.map(({ entry }) => entry),
              () => 7,
            );
            model.splice(index, 0, ...made);
          } else if ('many' in each) {
            const index = Math.floor(each.from * model.length);
            const place = (at: number) => model[at]?.entry.order ?? Number.POSITIVE_INFINITY;
            rows.dropBetween(place(index), place(index + each.many));
            model.splice(index, each.many);
          } else if (model.length > 0) {
            const index = Math.floor(each.resize * model.length);
            rows.setHeight(index, each.height);
            (model[index] as { height: number }).height = each.height;
          }
        }
        expect(rows.length).toBe(model.length);
        expect(rows.height).toBe(model.reduce((sum, { height }) => sum + height, 0));
        let top = 0;
        const found = rows.atHeight(y);
        const expected = model.findIndex(({ height }) => {
          top += height;
          return top > y;
        });
        if (expected >= 0) expect(found.index).toBe(expected);
        if (model.length > 0) {
          expect(rows.topOf(found.index)).toBe(found.top);
          const entry = rows.at(found.index) as Entry;
          expect(entry).toBe(model[found.index]?.entry);
          expect(rows.indexOf(entry.order)).toBe(found.index);
        }
      }),
      { numRuns: 200 },
    );
  });
});
