import { describe, expect, test, vi } from 'vitest';
import { LogBuffer } from '../src/lib/log/buffer';
import { lineEntry, markEntry } from '../src/lib/log/entry';
import { NO_FILTER } from '../src/lib/log/filter';
import { finder, NO_QUERY } from '../src/lib/log/search';
import type { Ask } from '../src/lib/log/search.worker';
import { LogView } from '../src/lib/log/view';

const time = '2025-01-15T10:30:00.000000000Z';

function viewOf(lines: readonly string[]): LogView {
  const buffer = new LogBuffer();
  const view = new LogView(buffer);
  add(view, lines);
  return view;
}

let order = 0;
function add(view: LogView, lines: readonly string[]): void {
  view.buffer.append(
    lines.map((line) => {
      order += 1;
      return lineEntry(order, { app: 1, time, stream: 'stdout', line });
    }),
  );
  view.grow();
}

const shown = (view: LogView) => [...view.rows.entries()].map(({ text }) => text);

async function settled(view: LogView): Promise<void> {
  while (view.busy) await new Promise((resolve) => setTimeout(resolve));
}

/** A worker that answers when it is told to. */
class SlowWorker {
  static asked: (() => void)[] = [];
  onmessage: (event: { data: object }) => void = () => {};
  postMessage({ number, patterns, texts }: Ask) {
    const hits = texts.map(finder(patterns));
    SlowWorker.asked.push(() => this.onmessage({ data: { number, hits } }));
  }
  terminate() {}
}
vi.stubGlobal('Worker', SlowWorker);
const answer = async () => {
  for (const each of SlowWorker.asked.splice(0)) each();
  await new Promise((resolve) => setTimeout(resolve));
};

describe('a view', () => {
  test('shows everything first, and what comes', () => {
    const view = viewOf(['a', 'b']);
    add(view, ['c']);
    expect(shown(view)).toEqual(['a', 'b', 'c']);
  });

  test('leaves out hidden levels, also of what comes later', async () => {
    const view = viewOf(['ERROR a', 'INFO b']);
    view.setFilter({ ...NO_FILTER, hiddenLevels: ['info'] });
    await settled(view);
    add(view, ['INFO c', 'WARN d']);
    expect(shown(view)).toEqual(['ERROR a', 'WARN d']);
  });

  test('shows only lines with a field, or all others', async () => {
    const view = viewOf(['a=1 b=2', '{"a":"1"}', 'a=2 b=2', 'plain']);
    const only = { key: 'a', value: '1', out: false };
    view.setFilter({ ...NO_FILTER, fields: [only] });
    await settled(view);
    expect(shown(view)).toEqual(['a=1 b=2', 'a=1']);
    view.setFilter({ ...NO_FILTER, fields: [{ ...only, out: true }] });
    await settled(view);
    expect(shown(view)).toEqual(['a=2 b=2', 'plain']);
  });

  test('highlights without filtering, and counts', async () => {
    const view = viewOf(['one two', 'three', 'TWO']);
    view.setQuery({ ...NO_QUERY, terms: ['two', 'e'] });
    await settled(view);
    expect(view.rows.length).toBe(3);
    expect(view.matches.length).toBe(3);
    expect(view.rows.at(0)?.hits).toEqual([4, 7, 0, 2, 3, 1]);
  });

  test('filters with context, each line once', async () => {
    const view = viewOf(['1', '2', 'x', '4', '5', '6', '7', '8', 'x', 'x', '11', '12']);
    view.setQuery({ ...NO_QUERY, terms: ['x'], filter: true, context: 1 });
    await settled(view);
    expect(shown(view)).toEqual(['2', 'x', '4', '8', 'x', 'x', '11']);
    add(view, ['13', '14', 'x', '16', '17']);
    expect(shown(view).slice(7)).toEqual(['14', 'x', '16']);
  });

  test('has a mark behind the context that comes before it', async () => {
    const view = viewOf(['1', '2']);
    order += 1;
    view.buffer.append([markEntry(order, 'start', time, 'started')]);
    add(view, ['x', '4']);
    view.setQuery({ ...NO_QUERY, terms: ['x'], filter: true, context: 1 });
    await settled(view);
    expect(shown(view)).toEqual(['2', 'started', 'x', '4']);
  });

  test('takes marks here and there, and what comes behind them', () => {
    const view = viewOf(['1', '2']);
    const mark = (place: number) => markEntry(place, 'start', time, `mark ${place}`);
    const [first, last] = [...view.buffer].map((each) => each.order) as [number, number];
    const [between, behind] = [mark((first + last) / 2), mark(last + 0.5)];
    view.buffer.insertAt(1, [between]);
    view.buffer.append([behind]);
    view.insert([between], [behind]);
    expect([...view.rows.entries()]).toEqual([...view.buffer]);
  });

  test('inverts', async () => {
    const view = viewOf(['x', 'y', 'X']);
    view.setQuery({ ...NO_QUERY, terms: ['x'], filter: true, invert: true, matchCase: true });
    await settled(view);
    expect(shown(view)).toEqual(['y', 'X']);
  });

  test('takes a literal as it is', async () => {
    const view = viewOf(['a.b(c)*', 'axb(c)*']);
    view.setQuery({ ...NO_QUERY, terms: ['A.B(c)*'] });
    await settled(view);
    expect(view.matches.length).toBe(1);
  });

  test('says what is wrong with a pattern, and still shows the lines', async () => {
    const view = viewOf(['a', 'b']);
    view.setQuery({ ...NO_QUERY, terms: ['(a'], regex: true, filter: true });
    await settled(view);
    expect(view.error).toBe('‘(a’ is not a regular expression: unterminated group');
    expect(shown(view)).toEqual(['a', 'b']);
  });

  test('forgets what the buffer drops', async () => {
    const view = new LogView(new LogBuffer({ lines: 10, chars: 1e9 }));
    view.setQuery({ ...NO_QUERY, terms: ['9'] });
    await settled(view);
    add(
      view,
      Array.from({ length: 100 }, (_, i) => String(i)),
    );
    view.buffer.trim();
    view.shrink();
    expect(view.rows.length).toBe(10);
    expect(view.matches.length).toBe(10);
  });

  test('shows no line as context that the buffer has dropped', async () => {
    const view = viewOf(['1', '2', '3']);
    view.setQuery({ ...NO_QUERY, terms: ['x'], filter: true, context: 2 });
    await settled(view);
    view.buffer.remove(0, 3);
    view.shrink();
    add(view, ['4', 'x']);
    expect(shown(view)).toEqual(['4', 'x']);
  });

  test('shows no line that the buffer drops while it is searched', async () => {
    const view = viewOf(['a', 'x 1', 'x 2', 'b']);
    const [, first, , last] = [...view.buffer];
    view.setQuery({ ...NO_QUERY, terms: ['x.'], regex: true });
    view.buffer.remove(1, 3);
    view.remove(first?.order ?? 0, last?.order ?? 0);
    await answer();
    expect(view.busy).toBe(false);
    expect(shown(view)).toEqual(['a', 'b']);
    add(view, ['x 3']);
    view.buffer.remove(0, 3);
    view.shrink();
    await answer();
    expect(shown(view)).toEqual([]);
    expect(view.matches.length).toBe(0);
  });

  test('keeps the hits of a search that begins while many lines are arranged', async () => {
    // Both rest between two chunks: the arrangement after one, and the search after two.
    const clock = [0, 100, 100, 100, 200];
    const now = vi.spyOn(performance, 'now').mockImplementation(() => clock.shift() ?? 200);
    const view = viewOf(Array.from({ length: 6000 }, (_, i) => `x ${i}`));
    expect(view.rows.length).toBe(2000);
    view.setQuery({ ...NO_QUERY, terms: ['x'] });
    await settled(view);
    now.mockRestore();
    expect(view.matches.length).toBe(6000);
    expect([...view.matches].filter(({ hits }) => hits === null)).toEqual([]);
  });

  test('is not busy any more once it is closed', () => {
    const view = viewOf(['a']);
    view.setQuery({ ...NO_QUERY, terms: ['x.'], regex: true });
    expect(view.busy).toBe(true);
    view.close();
    expect(view.busy).toBe(false);
  });

  test('searches 100,000 lines within 300 ms', async () => {
    const view = viewOf(
      Array.from({ length: 100_000 }, (_, i) => `2025-01-15 10:30:00 INFO request ${i} took 3 ms`),
    );
    const began = performance.now();
    view.setQuery({ ...NO_QUERY, terms: ['REQUEST 99'], filter: true });
    await settled(view);
    expect(performance.now() - began).toBeLessThan(300);
    expect(view.rows.length).toBe(1111);
  });
});
