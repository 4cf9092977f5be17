import type { LogLine, OlderLinesOptions } from '@mist/client';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

/** The containers of each application, the present one last; with `seam` as the service reads. */
let logs = new Map<number, LogLine[][]>();
let requests = 0;

function range({ appId = 0, since = '', until = '~', seam = false }: OlderLinesOptions) {
  const containers = (logs.get(appId) ?? []).filter(({ length }) => length > 0);
  const oldest = containers.findIndex((lines) => lines.some(({ time }) => time >= since));
  const newest = containers.findLastIndex((lines) => lines.some(({ time }) => time < until));
  return containers.flatMap((lines, at) => {
    const [begun, goesOn] = [seam && oldest >= 0 && oldest < at, seam && at < newest];
    return lines.filter(({ time }) => (begun || time >= since) && (goesOn || time < until));
  });
}

vi.mock('../src/lib/api', () => ({
  reasonOf: String,
  api: {
    olderLines: async (options: OlderLinesOptions) => {
      requests += 1;
      const lines = range(options);
      if (options.order === 'desc') lines.reverse();
      const q = options.q ?? '';
      const found = lines.filter(({ line }) => line.includes(q));
      return {
        changes: [],
        end: { message: '', reached: '' },
        async *[Symbol.asyncIterator]() {
          for (let at = 0; at < found.length; at += 300) yield found.slice(at, at + 300);
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
const { Backward, Forward } = await import('../src/lib/log/reel');
const { Reels } = await import('../src/lib/log/reels');

const opened: { close(): void }[] = [];
beforeEach(() => {
  requests = 0;
});
afterEach(() => {
  for (const each of opened.splice(0)) each.close();
  vi.useRealTimers();
});

const at = (ms: number) => `${new Date(1.7e12 + ms).toISOString().slice(0, 23)}000000Z`;

/** A line each `every` milliseconds, on two streams whose times are out of order by 25 ms. */
const written = (name: string, count: number, from: number, every: number): LogLine[] =>
  Array.from({ length: count }, (_, i) => ({
    time: at(from + i * every + (i % 2) * 25),
    stream: i % 2 ? 'stderr' : 'stdout',
    line: `${name} ${i}`,
  }));

/** Three containers, each of which starts a minute and more before the one before it stops. */
const swapped = (): LogLine[][] => [
  written('first', 9000, 0, 20),
  written('second', 9000, 100_000, 20),
  written('third', 6000, 200_000, 20),
];
const texts = (lines: readonly LogLine[]) => lines.map(({ line }) => line);
const all = (app = 1) => (logs.get(app) ?? []).flat();

/** The view of application 1, which got these lines live. */
function view(live: readonly LogLine[], bounds = { lines: 100_000, chars: 1e9 }) {
  const buffer = new LogBuffer(bounds);
  const view = new LogView(buffer);
  const host = { buffer, view, note: () => {}, changed: () => {}, begun: () => true };
  const history = new History(host, [1]);
  opened.push(history);
  const entries = live.map((line, i) => lineEntry(i + 1, { app: 1, ...line }));
  history.note(entries);
  buffer.append(entries);
  view.grow();
  const held = () => [...buffer].filter(({ kind }) => kind === 'line').map(({ raw }) => raw);
  return { history, held, buffer };
}

// The first line is of the new container while the old one runs, or of the old one when the
// new one has written more than a page.
test.each([
  ['the new container', 18_500],
  ['the old container', 17_900],
  ['a container that both others overlap', 9200],
  ['the last line of the old container', 17_999],
  ['the first line of the new container', 18_000],
])('older lines come before a line of %s', async (_, first) => {
  logs = new Map([[1, swapped()]]);
  const { history, held } = view(all().slice(first));
  while (!history.begins) await history.older();
  expect(held()).toEqual(texts(all()));
  expect(requests).toBe(1);
});

test('older lines go on in the same place after a pause', async () => {
  logs = new Map([[1, swapped()]]);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const { history, held } = view(all().slice(-1000));
  while (!history.begins) {
    const loading = history.older();
    await vi.advanceTimersByTimeAsync(2000);
    await loading;
    await vi.advanceTimersByTimeAsync(9000);
  }
  expect(held()).toEqual(texts(all()));
  expect(requests).toBeGreaterThan(10);
});

test('newer lines go on in the same place after a pause', async () => {
  logs = new Map([[1, swapped()]]);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const { history, held } = view(all().slice(-1000));
  const settle = async (loading: Promise<unknown>) => {
    await vi.advanceTimersByTimeAsync(2000);
    await loading;
    await vi.advanceTimersByTimeAsync(9000);
  };
  await settle(history.toBeginning());
  while (history.hole !== null) await settle(history.newer());
  expect(held()).toEqual(texts(all()));
  expect(requests).toBeGreaterThan(10);
});

test.each([8900, 9000, 9500, 17_900, 18_000, 18_900])(
  'newer lines lead to live ones that begin with line %i',
  async (first) => {
    logs = new Map([[1, swapped()]]);
    const { history, held } = view(all().slice(first));
    await history.toBeginning();
    while (history.hole !== null) await history.newer();
    expect(held()).toEqual(texts(all()));
  },
);

test.each([120_000, 150_000, 179_000, 185_000, 230_000, 275_000])(
  'from a time in the middle (%i) everything can be reached',
  async (ms) => {
    logs = new Map([[1, swapped()]]);
    const { history, held } = view(all().slice(-1000));
    await history.show(at(ms));
    while (history.hole !== null) await history.newer();
    while (!history.begins) await history.older();
    // Where the range began, lines that are out of time order are put into it.
    expect(held().sort()).toEqual(texts(all()).sort());
  },
);

/** Read logs to their end, with a request for each page, as with three logs or more. */
async function read(order: 'asc' | 'desc', size: number, q = ''): Promise<string[]> {
  const reading = { size, choice: { q }, tell: () => {} };
  const reels = new Reels<InstanceType<typeof Forward> | InstanceType<typeof Backward>>(
    [1, 2, 3].map((source) =>
      order === 'asc'
        ? new Forward(source, reading, '', [], null)
        : new Backward(source, reading, [], ''),
    ),
    order,
  );
  opened.push(reels);
  const found: string[] = [];
  const { signal } = new AbortController();
  while (!reels.ended) {
    const entries = await reels.take(500, signal);
    found.push(...entries.filter(({ app }) => app === 1).map(({ raw }) => raw));
  }
  return order === 'asc' ? found : found.reverse();
}

test('a file of several logs has each line once', async () => {
  logs = new Map([
    [1, swapped()],
    [2, [written('other', 500, 0, 500)]],
    [3, []],
  ]);
  expect(await read('asc', 700)).toEqual(texts(all()));
  expect(await read('desc', 700)).toEqual(texts(all()));
  expect(requests).toBeGreaterThan(60);
});

test('a search goes on behind its last match', async () => {
  logs = new Map([
    [1, swapped()],
    [2, [written('other', 500, 0, 500)]],
    [3, []],
  ]);
  const matches = texts(all()).filter((line) => line.includes('77'));
  expect(await read('desc', 1, '77')).toEqual(matches);
  expect(await read('asc', 1, '77')).toEqual(matches);
});

test('however long containers run at once, each line comes once, in both directions', async () => {
  const containers = fc.array(
    fc.record({
      count: fc.nat({ max: 300 }),
      from: fc.nat({ max: 5000 }),
      every: fc.constantFrom(1, 10, 100),
    }),
    { minLength: 1, maxLength: 4 },
  );
  await fc.assert(
    fc.asyncProperty(containers, fc.constantFrom(1, 10, 100), async (parts, size) => {
      let begin = 0;
      const made = parts.map(({ count, from, every }, i) => {
        begin += from;
        return written(`${i}`, count, begin, every);
      });
      logs = new Map([[1, made]]);
      expect(await read('asc', size)).toEqual(texts(all()));
      expect(await read('desc', size)).toEqual(texts(all()));
    }),
    { numRuns: 30 },
  );
}, 60_000);
