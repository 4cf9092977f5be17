import { ApiError, type LogLine, type OlderLinesOptions } from '@mist/client';
import fc from 'fast-check';
import { afterEach, expect, test, vi } from 'vitest';

/** The logs that the service has, by application; one that is missing is refused. */
let logs = new Map<number, LogLine[]>();
let open = 0;
let mostOpen = 0;
/** The answers that end in the middle, and those that end before their first line. */
let broken = 0;
let empty = 0;
/** The errors of the next requests, by log. */
const errors = new Map<number, ApiError[]>();

vi.mock('../src/lib/api', () => ({
  reasonOf: String,
  api: {
    olderLines: async ({ appId = 0, since = '', until = '', order }: OlderLinesOptions) => {
      const log = logs.get(appId);
      if (log === undefined) throw new ApiError(404, 'Container not found');
      const error = errors.get(appId)?.shift();
      if (error !== undefined) throw error;
      const range = log.filter(({ time }) => time >= since && (until === '' || time < until));
      if (order === 'desc') range.reverse();
      const length = empty > 0 ? 0 : broken > 0 ? range.length / 2 : range.length;
      const breaks = empty > 0 || broken > 0;
      if (empty > 0) empty -= 1;
      else if (broken > 0) broken -= 1;
      open += 1;
      mostOpen = Math.max(mostOpen, open);
      return {
        changes: [],
        end: { message: breaks ? 'the engine has gone' : '', reached: '' },
        async *[Symbol.asyncIterator]() {
          try {
            for (let at = 0; at < length; at += 300) yield range.slice(at, at + 300);
          } finally {
            open -= 1;
          }
        },
      };
    },
  },
}));
vi.stubGlobal('window', globalThis);

const { History } = await import('../src/lib/log/history.svelte');
const { LogBuffer } = await import('../src/lib/log/buffer');
const { LogView } = await import('../src/lib/log/view');
const { NO_QUERY } = await import('../src/lib/log/search');
const { lineEntry, markEntry } = await import('../src/lib/log/entry');

const opened: { close(): void }[] = [];
afterEach(() => {
  for (const each of opened.splice(0)) each.close();
  open = mostOpen = broken = empty = 0;
  errors.clear();
});

const at = (ms: number) => `${new Date(1.7e12 + ms).toISOString().slice(0, 23)}000000Z`;

/** A line each `every` milliseconds, from a time on. */
function written(name: string, count: number, from: number, every: number): LogLine[] {
  return Array.from({ length: count }, (_, i) => ({
    time: at(from + i * every),
    stream: 'stdout',
    line: `${name} ${i}`,
  }));
}

function view(sources: readonly number[], bounds = { lines: 100_000, chars: 1e9 }) {
  const buffer = new LogBuffer(bounds);
  const view = new LogView(buffer);
  const host = { buffer, view, note: () => {}, changed: () => {}, begun: () => true };
  const history = new History(host, sources);
  opened.push(history);
  const live = (app: number, lines: readonly LogLine[]) => {
    const { end } = buffer;
    const entries = lines.map((line, i) => lineEntry(end + i, { app, ...line }));
    history.note(entries);
    buffer.append(entries);
    view.grow();
  };
  /** The last lines of each log, in the order in which the page gets them. */
  const tails = (length: number) => {
    const all = sources.flatMap((app) =>
      (logs.get(app) ?? []).slice(-length).map((line) => ({ app, line })),
    );
    all.sort((a, b) => (a.line.time < b.line.time ? -1 : Number(a.line.time > b.line.time)));
    for (const { app, line } of all) live(app, [line]);
  };
  const mark = (time: string) => {
    const entry = markEntry(0, 'start', time, '');
    if (buffer.insert(entry)) view.insert([entry]);
  };
  /** Write a line and deliver it. */
  const say = (app: number, line: LogLine) => {
    logs.get(app)?.push(line);
    live(app, [line]);
  };
  const lines = () => [...buffer].filter(({ kind }) => kind === 'line');
  const held = () => lines().map(({ raw }) => raw);
  const times = () => lines().map(({ time }) => time);
  const shown = () => [...view.rows.entries()].map(({ order }) => order);
  /** Read on to the live lines, and return what one has read from the first held line on. */
  const toLive = async () => {
    const seen: string[] = [];
    for (let pages = 0; pages < 100; pages++) {
      expectAscending(buffer);
      const { hole } = history;
      const part = [...buffer].slice(0, hole === null ? buffer.length : buffer.indexOf(hole.order));
      const read = part.filter(({ kind }) => kind === 'line').map(({ raw }) => raw);
      const known = seen.at(-1);
      seen.push(...read.slice(known === undefined ? 0 : read.lastIndexOf(known) + 1));
      if (hole === null) break;
      await history.newer();
      history.trim((history.hole?.order ?? Number.POSITIVE_INFINITY) - 1);
    }
    return seen;
  };
  return { buffer, view, history, live, tails, say, mark, held, times, shown, toLive };
}

function expectAscending(entries: Iterable<{ readonly order: number }>) {
  const orders = [...entries].map(({ order }) => order);
  const above = orders.every((order, i) => i === 0 || order > (orders[i - 1] as number));
  expect(above, 'each entry has its own place').toBe(true);
}

const merged = (): string[] =>
  [...logs]
    .flatMap(([app, lines]) => lines.map((line) => ({ app, ...line })))
    .sort((a, b) => (a.time < b.time ? -1 : Number(a.time > b.time)))
    .map(({ line }) => line);

test('older lines of all logs come merged, although their last lines go back differently', async () => {
  logs = new Map([
    [1, written('a', 7000, 0, 10)],
    [2, written('b', 900, 5, 60)],
    [3, written('c', 40, 20_001, 500)],
  ]);
  const { history, tails, held, shown, buffer } = view([1, 2, 3]);
  tails(500);
  while (!history.begins) await history.older();
  expect(held()).toEqual(merged());
  expect(shown()).toEqual([...buffer].map(({ order }) => order));
  expect(shown()).toEqual([...shown()].sort((a, b) => a - b));
  expect(history.problem).toBe('');
  expect(mostOpen).toBe(1);
});

test('a page of older lines has no gap, whichever log reaches back less', async () => {
  logs = new Map([
    [1, written('a', 9000, 0, 10)],
    [2, written('b', 300, 5, 300)],
  ]);
  const { history, tails, held } = view([1, 2]);
  tails(300);
  await history.older();
  const all = merged();
  expect(held()).toEqual(all.slice(-held().length));
  expect(held().length).toBeGreaterThanOrEqual(2000);
  expect(held().length).toBeLessThan(5000);
  expect(mostOpen).toBeLessThanOrEqual(2);
});

test('a log that was slow to begin is put in order', async () => {
  logs = new Map([
    [1, written('a', 3000, 10_000, 10)],
    [2, written('b', 20, 9000, 400)],
  ]);
  const { history, live, held } = view([1, 2]);
  live(1, logs.get(1)?.slice(-1000) ?? []);
  live(2, logs.get(2)?.slice(-10) ?? []);
  while (!history.begins) await history.older();
  expect(held()).toEqual(merged());
});

test('lines of the same time keep the order of their log', async () => {
  const same = (name: string) => written(name, 3000, 1000, 0);
  logs = new Map([
    [1, same('a')],
    [2, same('b')],
  ]);
  const { history, tails, held } = view([1, 2]);
  tails(100);
  while (!history.begins) await history.older();
  for (const name of ['a', 'b']) {
    const own = held().filter((line) => line.startsWith(name));
    expect(own).toEqual(same(name).map(({ line }) => line));
  }
});

test('from the beginning on, the hole is filled up to the live lines of each log', async () => {
  logs = new Map([
    [1, written('a', 9000, 0, 10)],
    [2, written('b', 2500, 3, 7)],
  ]);
  const { history, tails, held, shown, buffer, say } = view([1, 2]);
  tails(1000);
  await history.toBeginning();
  expect(history.begins).toBe(true);
  expect(held().slice(0, 2000)).toEqual(merged().slice(0, 2000));
  for (let i = 0; history.hole !== null; i++) {
    await history.newer();
    say(1 + (i % 2), { time: at(100_000 + i), stream: 'stdout', line: `live ${i}` });
  }
  expect(held()).toEqual(merged());
  expect(shown()).toEqual([...buffer].map(({ order }) => order));
});

test('what is written and dropped behind the hole is not lost', async () => {
  logs = new Map([
    [1, written('a', 9000, 0, 10)],
    [2, written('b', 30, 3, 1000)],
  ]);
  const { history, tails, held, say, times } = view([1, 2]);
  tails(1000);
  await history.toBeginning();
  // The quiet log says something, and the other one then drives it out of the live lines.
  say(2, { time: at(90_001), stream: 'stdout', line: 'late' });
  for (let i = 0; i < 5000; i++) {
    say(1, { time: at(90_010 + i), stream: 'stdout', line: `more ${i}` });
    history.trim(-Number.MAX_VALUE);
  }
  expect(held()).not.toContain('late');
  while (history.hole !== null) await history.newer();
  expect(held()).toEqual(merged());
  expect(times()).toEqual([...times()].sort());
});

test('a time is shown among the lines of all logs, and from there everything can be reached', async () => {
  logs = new Map([
    [1, written('a', 9000, 0, 10)],
    [2, written('b', 800, 5, 100)],
  ]);
  const { history, tails, held } = view([1, 2]);
  tails(500);
  const found = await history.show(at(41_006));
  expect(found?.raw).toBe('a 4101');
  const place = merged().indexOf('a 4101');
  const index = held().indexOf('a 4101');
  expect(held().slice(index - 100, index + 100)).toEqual(merged().slice(place - 100, place + 100));
  while (history.hole !== null) await history.newer();
  while (!history.begins) await history.older();
  expect(held()).toEqual(merged());
});

test('the bounds are kept, and what was dropped can come again', async () => {
  logs = new Map([
    [1, written('a', 12_000, 0, 10)],
    [2, written('b', 8000, 5, 15)],
  ]);
  const { history, tails, held, buffer } = view([1, 2], { lines: 6000, chars: 1e9 });
  tails(1000);
  while (!history.begins) {
    await history.older();
    history.trim(buffer.at(0)?.order ?? 0);
    expect(buffer.length).toBeLessThanOrEqual(6001);
  }
  expect(held().slice(0, 3000)).toEqual(merged().slice(0, 3000));
  expect(history.hole).not.toBeNull();
  while (history.hole !== null) {
    await history.newer();
    history.trim((history.hole?.order ?? Number.POSITIVE_INFINITY) - 1);
  }
  expect(held()).toEqual(merged().slice(-held().length));
});

test('a log that the engine does not have holds no other one up', async () => {
  logs = new Map([[1, written('a', 3000, 0, 10)]]);
  const { history, tails, held } = view([1, 2]);
  tails(100);
  while (!history.begins) await history.older();
  expect(held()).toEqual(merged());
  expect(history.problem).toBe('');
});

test('an answer that breaks off leaves no gap: the page says so, and goes on', async () => {
  logs = new Map([
    [1, written('a', 3000, 0, 10)],
    [2, written('b', 3000, 5, 10)],
  ]);
  const { history, tails, held } = view([1, 2]);
  tails(100);
  broken = 1;
  for (let i = 0; i < 20 && history.problem === ''; i++) await history.older();
  expect(history.problem).toContain('the engine has gone');
  expect(held()).toEqual(merged().slice(-held().length));
  while (!history.begins) await history.older();
  expect(held()).toEqual(merged());
});

test('an answer that breaks before its first line has not led to the beginning', async () => {
  logs = new Map([[1, written('a', 3000, 0, 10)]]);
  const { history, tails, held } = view([1]);
  tails(100);
  empty = 1;
  await history.toBeginning();
  expect(history.problem).toContain('the engine has gone');
  expect(history.begins).toBe(false);
  while (!history.begins) await history.older();
  expect(held()).toEqual(merged());
});

test('a failure ends the waiting of the other log, and stays in view', async () => {
  logs = new Map([
    [1, written('a', 3000, 0, 10)],
    [2, written('b', 3000, 5, 10)],
  ]);
  const { history, tails } = view([1, 2]);
  tails(100);
  errors.set(1, [new ApiError(500, 'Out of order')]);
  errors.set(2, [new ApiError(429, 'Too many readers', 0.05)]);
  await history.toBeginning();
  const { problem } = history;
  expect(problem).toContain('Out of order');
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(history.problem).toBe(problem);
  expect(open).toBe(0);
});

test('what was cleared, or driven out, can be loaded again although the beginning was held', async () => {
  logs = new Map([[1, written('a', 300, 0, 10)]]);
  const { history, buffer, view: rows, tails, say, held } = view([1]);
  tails(100);
  await history.older();
  await history.older();
  expect(history.begins).toBe(true);
  history.clear(buffer.newest?.order ?? 0);
  expect(held()).toEqual([]);
  expect(history.begins).toBe(false);
  say(1, { time: at(5000), stream: 'stdout', line: 'next' });
  while (!history.begins) await history.older();
  expect(held()).toEqual(merged());
  buffer.remove(0, 1);
  rows.shrink();
  expect(history.begins).toBe(false);
});

test('clearing while a jump is on its way leaves no gap behind it', async () => {
  logs = new Map([[1, written('a', 9000, 0, 10)]]);
  const { history, buffer, tails, say, toLive } = view([1]);
  tails(8000);
  const jumping = history.toBeginning();
  await new Promise((resolve) => setTimeout(resolve));
  expect(history.activity).toBe('jump');
  history.clear(buffer.newest?.order ?? 0);
  say(1, { time: at(200_000), stream: 'stdout', line: 'next' });
  await jumping;
  expect(await toLive()).toEqual(merged());
});

test('clearing up to a hole leaves the live lines, and the way back from them', async () => {
  logs = new Map([[1, written('a', 9000, 0, 10)]]);
  const { history, buffer, tails, held } = view([1]);
  tails(100);
  await history.toBeginning();
  history.clear((history.hole?.order ?? 0) - 1);
  expect(held()).toEqual(merged().slice(-100));
  expect(history.hole).toBeNull();
  while (!history.begins) await history.older();
  expect(held()).toEqual(merged());
  expectAscending(buffer);
});

test('lines that were read before the live ones of their log came are not repeated', async () => {
  logs = new Map([
    [1, written('a', 9000, 0, 10)],
    [2, []],
  ]);
  const { history, tails, live, toLive } = view([1, 2]);
  tails(100);
  // Written, and read, before they are delivered.
  const late = written('b', 3, 89_991, 1);
  logs.set(2, late);
  await history.toBeginning();
  live(2, late);
  expect(await toLive()).toEqual(merged());
});

test.each(['older', 'toBeginning'] as const)(
  'a log may begin behind a hole, with lines from before it: %s',
  async (move) => {
    logs = new Map([
      [1, written('a', 9000, 0, 10)],
      [2, written('b', 300, 80_005, 30)],
    ]);
    const { history, live, toLive } = view([1, 2], { lines: 5000, chars: 1e9 });
    live(1, logs.get(1)?.slice(-5500) ?? []);
    history.trim(0);
    expect(history.hole).not.toBeNull();
    live(2, logs.get(2)?.slice(-100) ?? []);
    await history[move]();
    while (!history.begins) await history.older();
    expect(await toLive()).toEqual(merged());
  },
);

test('a log that is read before it is connected repeats nothing when it is', async () => {
  logs = new Map([[1, written('a', 1500, 0, 10)]]);
  const { history, tails, held } = view([1]);
  await history.toBeginning();
  expect(held()).toEqual(merged());
  tails(1000);
  while (!history.begins) await history.older();
  expect(held()).toEqual(merged());
});

test('a log whose last lines come after older ones were loaded repeats none of them', async () => {
  logs = new Map([
    [1, written('a', 3000, 0, 10)],
    [2, written('b', 1500, 5, 20)],
  ]);
  const { history, live, held } = view([1, 2]);
  live(1, logs.get(1)?.slice(-500) ?? []);
  await history.older();
  live(2, logs.get(2)?.slice(-500) ?? []);
  while (!history.begins) await history.older();
  expect(held()).toEqual(merged());
});

test('a hole takes more lines than were cut out: those that the live stream had skipped', async () => {
  const all = written('a', 56_000, 0, 10);
  logs = new Map([[1, all]]);
  const { buffer, history, live, held, shown, toLive } = view([1], { lines: 5000, chars: 1e9 });
  live(1, all.slice(0, 4000));
  live(1, all.slice(54_000));
  history.trim(0);
  expect(history.hole).not.toBeNull();
  expect(held()).toContain('a 3000');
  expect(held()).not.toContain('a 3999');
  expect(await toLive()).toEqual(merged());
  await vi.waitFor(() => expect(shown()).toEqual([...buffer].map(({ order }) => order)));
});

test('however one moves, no line of a log is missing or repeated, and the order is that in time', async () => {
  const moves = fc.array(
    fc.oneof(
      fc.constant('leave' as const),
      fc.record({
        to: fc.oneof(
          fc.constantFrom('older' as const, 'newer' as const, 'begin' as const),
          fc.nat({ max: 60_000 }),
        ),
        meanwhile: fc.constantFrom(0, 0, 1, 1500, 'clear' as const),
      }),
      fc.record({ say: fc.nat({ max: 2 }), lines: fc.constantFrom(1, 50, 1500) }),
      fc.record({ trim: fc.nat({ max: 100 }) }),
      fc.record({ clear: fc.nat({ max: 100 }) }),
      fc.record({ search: fc.constantFrom('', '7') }),
      fc.record({ answers: fc.constantFrom('broken' as const, 'empty' as const) }),
      fc.record({ mark: fc.nat({ max: 210_000 }), times: fc.constantFrom(1, 40) }),
    ),
    { maxLength: 12 },
  );
  const sizes = fc.array(fc.constantFrom(0, 3, 400, 3000, 6000), { minLength: 2, maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(sizes, fc.constantFrom(5, 300, 1000), moves, async (counts, tail, steps) => {
      logs = new Map(
        counts.map((count, i) => [
          i + 1,
          written(`${i}`, count, i, Math.ceil(40_000 / (count + 1))),
        ]),
      );
      const sources = [...logs.keys()];
      const made = view(sources, { lines: 5000, chars: 1e9 });
      const { history, buffer, say, shown } = made;
      made.tails(tail);
      let now = 200_000;
      const write = (app: number, count: number) => {
        for (let i = 0; i < count; i++) {
          now += 1;
          const line = { time: at(now), stream: 'stdout' as const, line: `said ${now}` };
          say(sources[app % sources.length] as number, line);
        }
        history.trim(buffer.at(0)?.order ?? 0);
      };
      const placeAt = (percent: number) =>
        buffer.at(Math.floor((buffer.length * percent) / 101))?.order ?? 0;
      const move = (to: 'older' | 'newer' | 'begin' | number) => {
        if (to === 'older') return history.older();
        if (to === 'newer') return history.newer();
        return to === 'begin' ? history.toBeginning() : history.show(at(to));
      };
      for (const step of steps) {
        if (step === 'leave') history.leave();
        else if ('to' in step) {
          const moving = move(step.to);
          await Promise.resolve();
          if (step.meanwhile === 'clear') history.clear(placeAt(100));
          else if (step.meanwhile > 0) write(now, step.meanwhile);
          await moving;
          expect(history.activity).toBe('');
        } else if ('say' in step) write(step.say, step.lines);
        else if ('mark' in step) for (let i = 0; i < step.times; i++) made.mark(at(step.mark + i));
        else if ('clear' in step) history.clear(placeAt(step.clear));
        else if ('search' in step) made.view.setQuery({ ...NO_QUERY, terms: [step.search] });
        else if (!('trim' in step)) [broken, empty] = step.answers === 'broken' ? [1, 0] : [0, 1];
        else history.trim(placeAt(step.trim));
        expectAscending(buffer);
        const settled = () => {
          const entries = [...buffer];
          expect(made.view.busy).toBe(false);
          expect(shown()).toEqual(entries.map(({ order }) => order));
          const hits = entries.filter((each) => each.hits !== null);
          expect(made.view.matches.snapshot()).toEqual(hits);
        };
        await vi.waitFor(settled, { interval: 5 });
      }
      broken = empty = 0;
      // To the beginning, and from there to the live lines.
      await history.toBeginning();
      expect(await made.toLive()).toEqual(merged());
      history.close();
    }),
    {
      numRuns: 40,
      examples: [
        // What is read is brought to the live lines, and cut off from them again.
        [
          [6000, 6000],
          5,
          [
            { to: 27_966, meanwhile: 0 },
            { to: 'newer', meanwhile: 0 },
          ],
        ],
        // A log begins, and loses its first live lines, while an answer without them is read.
        [
          [0, 6000, 0],
          5,
          [
            { say: 1, lines: 50 },
            { to: 'older', meanwhile: 0 },
            { say: 1, lines: 50 },
            { say: 1, lines: 1500 },
            { to: 0, meanwhile: 1500 },
          ],
        ],
        // A line comes to the end of a hole while the rows are arranged.
        [
          [6000, 3],
          1000,
          [
            { to: 'begin', meanwhile: 0 },
            { say: 1, lines: 1500 },
          ],
        ],
      ],
    },
  );
}, 60_000);
