import type { LogLine, OlderLinesOptions } from '@mist/client';
import { afterEach, expect, test, vi } from 'vitest';

/** The log that the service has. */
let log: LogLine[] = [];

vi.mock('../src/lib/api', () => ({
  reasonOf: String,
  api: {
    olderLines: async ({ since = '', until = '', order }: OlderLinesOptions) => {
      const range = log.filter(({ time }) => time >= since && (until === '' || time < until));
      if (order === 'desc') range.reverse();
      return {
        changes: [],
        end: { message: '' },
        async *[Symbol.asyncIterator]() {
          for (let at = 0; at < range.length; at += 300) yield range.slice(at, at + 300);
        },
      };
    },
  },
}));
vi.stubGlobal('window', globalThis);

const { History } = await import('../src/lib/log/history.svelte');
const { LogBuffer } = await import('../src/lib/log/buffer');
const { LogView } = await import('../src/lib/log/view');
const { lineEntry } = await import('../src/lib/log/entry');

const histories: InstanceType<typeof History>[] = [];
afterEach(() => {
  for (const each of histories.splice(0)) each.close();
});

/** Two streams in turn, whose times are out of order by up to 25 ms. */
function written(count: number): LogLine[] {
  return Array.from({ length: count }, (_, i) => ({
    time: `${new Date(1.7e12 + i * 10 + (i % 2) * 35).toISOString().slice(0, 23)}000000Z`,
    stream: i % 2 ? 'stderr' : 'stdout',
    line: `line ${i}`,
  }));
}

function opened(live: number, bounds = { lines: 100_000, chars: 1e9 }) {
  const buffer = new LogBuffer(bounds);
  const view = new LogView(buffer);
  const history = new History(
    { buffer, view, note: () => {}, changed: () => {}, begun: () => true },
    [1],
  );
  histories.push(history);
  buffer.append(log.slice(-live).map((each, i) => lineEntry(i + 1, { app: 1, ...each })));
  view.grow();
  const held = () => [...buffer].filter(({ kind }) => kind === 'line').map(({ raw }) => raw);
  const shown = () => [...view.rows.entries()].map(({ order }) => order);
  return { buffer, view, history, held, shown };
}

const texts = (lines: readonly LogLine[]) => lines.map(({ line }) => line);

test('older lines come up to the first one, page by page', async () => {
  log = written(7001);
  const { history, held, shown, buffer } = opened(1000);
  while (!history.begins) await history.older();
  expect(held()).toEqual(texts(log));
  expect(shown()).toEqual([...buffer].map(({ order }) => order));
  expect(shown()).toEqual([...shown()].sort((a, b) => a - b));
});

test('from the beginning on, the hole is filled up to the live lines', async () => {
  log = written(9000);
  const { history, held, shown, buffer } = opened(1000);
  await history.toBeginning();
  expect(history.begins).toBe(true);
  expect(held()[0]).toBe('line 0');
  expect(history.hole).not.toBeNull();
  while (history.hole !== null) await history.newer();
  expect(held()).toEqual(texts(log));
  expect(shown()).toEqual([...buffer].map(({ order }) => order));
});

test('a line is shown among its neighbours, and from there everything can be reached', async () => {
  log = written(9000);
  const { history, held } = opened(1000);
  const wanted = log[4000] as LogLine;
  const found = await history.show(wanted.time);
  expect(found?.raw).toBe('line 4000');
  expect(held().indexOf('line 4000')).toBeGreaterThan(100);
  while (history.hole !== null) await history.newer();
  while (!history.begins) await history.older();
  // Where the range began, lines that are out of time order are put into it.
  expect(held().sort()).toEqual(texts(log).sort());
});

test('the bounds are kept: what is far from the reader goes, and can come again', async () => {
  log = written(20_000);
  const { history, held, buffer, shown } = opened(1000, { lines: 6000, chars: 1e9 });
  while (!history.begins) {
    await history.older();
    history.trim(buffer.at(0)?.order ?? 0);
    expect(buffer.length).toBeLessThanOrEqual(6001);
  }
  expect(held()[0]).toBe('line 0');
  expect(history.hole).not.toBeNull();
  expect(shown()).toEqual([...buffer].map(({ order }) => order));
  while (history.hole !== null) {
    await history.newer();
    history.trim((history.hole?.order ?? Number.POSITIVE_INFINITY) - 1);
  }
  const lines = held();
  expect(lines).toEqual(texts(log).slice(-lines.length));
});

test('after a jump, the bounds follow the reader again', async () => {
  log = written(3000);
  const { history, buffer } = opened(1000, { lines: 5000, chars: 1e9 });
  await history.show(log[1500]?.time ?? '');
  expect(history.hole).toBeNull();
  history.arrived();
  const { end } = buffer;
  const more = written(7000).slice(3000);
  buffer.append(more.map((each, i) => lineEntry(end + i, { app: 1, ...each })));
  const read = buffer.at(buffer.length - 1100);
  history.trim(read?.order ?? 0);
  expect(buffer.length).toBeLessThanOrEqual(5000);
  expect(read && buffer.has(read)).toBe(true);
});

test('the bounds are kept in characters too, while the first of few long lines are read', () => {
  log = [];
  const { history, buffer } = opened(0, { lines: 100_000, chars: 1_000_000 });
  const lines = written(900).map((each) => ({ ...each, line: each.line.padEnd(20_000) }));
  for (let i = 0; i < lines.length; i += 10) {
    const { end } = buffer;
    const next = lines.slice(i, i + 10);
    buffer.append(next.map((each, at) => lineEntry(end + at, { app: 1, ...each })));
    history.trim(buffer.at(0)?.order ?? 0);
    expect(buffer.fill).toBeLessThanOrEqual(1);
    expect(buffer.at(0)?.raw).toBe(lines[0]?.line);
    expect(buffer.newest?.raw).toBe(next.at(-1)?.line);
  }
});

test('leaving drops what is not connected with the live lines', async () => {
  log = written(9000);
  const { history, held } = opened(1000);
  await history.toBeginning();
  history.leave();
  expect(held()).toEqual(texts(log).slice(-1000));
});

test.each([
  [7919, 1050],
  [271, 1050],
  [271, 2000],
])(
  'of lines out of time order by almost a second, none is lost or repeated (%i, %i)',
  async (step, live) => {
    log = Array.from({ length: 6000 }, (_, i) => ({
      time: `${new Date(1.7e12 + i * 20 + ((i * step) % 900)).toISOString().slice(0, 23)}000000Z`,
      stream: 'stdout',
      line: `line ${i}`,
    }));
    const { history, held } = opened(live);
    await history.toBeginning();
    while (history.hole !== null) await history.newer();
    expect(held().sort()).toEqual(texts(log).sort());
  },
);
