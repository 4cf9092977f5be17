import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Emitter } from '../src/emitter.ts';
import {
  type ContainerLogs,
  type ContainerLogsEvent,
  type LogLine,
  type MergedLine,
  type MergedLogsEvent,
  mergeLogs,
} from '../src/index.ts';
import { at, World } from './world.ts';

/** A log whose lines the test provides. */
class SaidLogs {
  state: ContainerLogs['state'] = 'live';
  closes = 0;
  readonly emitter = new Emitter<ContainerLogsEvent>();
  on = this.emitter.on.bind(this.emitter);

  close(): void {
    this.closes += 1;
  }

  say(...times: number[]): void {
    const lines = times.map(
      (time): LogLine => ({ time: at(time), stream: 'stdout', line: `${time}` }),
    );
    this.emitter.emit({ type: 'lines', lines });
  }
}

function merging(keys: readonly string[], options = {}) {
  const world = new World();
  const logs = Object.fromEntries(keys.map((key) => [key, new SaidLogs()]));
  const merged = mergeLogs(logs as never, { environment: world.environment, ...options });
  const got: MergedLine[] = [];
  merged.on('lines', ({ lines }) => got.push(...lines));
  const texts = () => got.map(({ source, line }) => `${source}${line}`);
  return { world, logs: logs as Record<string, SaidLogs>, merged, got, texts };
}

test('a line goes as soon as no other log can have an earlier one', () => {
  const { logs, texts } = merging(['a', 'b']);
  logs.a?.say(1, 3, 5);
  expect(texts()).toEqual([]);
  logs.b?.say(2, 4);
  expect(texts()).toEqual(['a1', 'b2', 'a3', 'b4']);
});

test('a quiet log holds others back for a bounded time', async () => {
  const { world, logs, texts } = merging(['a', 'b']);
  logs.a?.say(1, 2);
  await world.pass(299);
  expect(texts()).toEqual([]);
  await world.pass(2);
  expect(texts()).toEqual(['a1', 'a2']);
  expect(world.pending).toBe(0);
});

test('a log that is over holds nothing back', () => {
  const { logs, texts } = merging(['a', 'b']);
  if (logs.b) logs.b.state = 'ended';
  logs.a?.say(1);
  expect(texts()).toEqual(['a1']);
});

test('a line that is too late goes at once, and its log keeps its own order', async () => {
  const { world, logs, texts } = merging(['a', 'b']);
  logs.a?.say(10);
  await world.pass(300);
  logs.b?.say(5, 4);
  await world.pass(300);
  expect(texts()).toEqual(['a10', 'b5', 'b4']);
});

test('not more than a number of lines is held', () => {
  const { logs, texts } = merging(['a', 'b'], { maxHeld: 10 });
  logs.a?.say(...Array.from({ length: 15 }, (_, n) => n));
  expect(texts()).toHaveLength(5);
});

test('what is not a line keeps its place in its log, and names it', () => {
  const { logs, merged } = merging(['a', 'b']);
  const events: string[] = [];
  merged.on('lines', ({ lines }) => events.push(...lines.map(({ line }) => line)));
  merged.on('end', ({ source }) => events.push(`end of ${source}`));
  logs.a?.say(1);
  logs.a?.emitter.emit({ type: 'end', time: '', message: '' });
  expect(events).toEqual([]);
  logs.b?.say(2);
  expect(events).toEqual(['1', 'end of a']);
});

test('logs come and go', async () => {
  const { world, logs, merged, texts } = merging(['a', 'b']);
  logs.a?.say(1);
  merged.remove('b');
  expect(texts()).toEqual(['a1']);
  logs.b?.say(2);
  const c = new SaidLogs();
  merged.add('c', c as never);
  logs.a?.say(4);
  c.say(3, 5);
  await world.pass(300);
  expect(texts()).toEqual(['a1', 'c3', 'a4', 'c5']);
  expect([...merged.sources.keys()]).toEqual(['a', 'c']);
});

test('a signal closes every log; what was held comes first, and no timer is left', async () => {
  const abort = new AbortController();
  const { world, logs, merged, texts } = merging(['a', 'b'], { signal: abort.signal });
  const events: MergedLogsEvent[] = [];
  const reading = (async () => {
    for await (const event of merged) events.push(event);
  })();
  logs.a?.say(1);
  abort.abort();
  await reading;
  expect(texts()).toEqual(['a1']);
  expect(events).toHaveLength(1);
  expect([logs.a?.closes, logs.b?.closes]).toEqual([1, 1]);
  expect(world.pending).toBe(0);
});

test('logs that arrive within the hold-back come out in the order of time, each line once', async () => {
  const line = fc.record({
    source: fc.constantFrom('a', 'b', 'c'),
    time: fc.integer({ min: 0, max: 1_000_000_000 }),
    delay: fc.integer({ min: 0, max: 290 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(line, { maxLength: 60 }), async (lines) => {
      const { world, logs, got } = merging(['a', 'b', 'c']);
      // A line arrives some time after its time stamp, and never before its predecessor.
      const arrivals = lines
        .sort((x, y) => x.time - y.time)
        .map((each) => ({ ...each, arrival: each.time / 1e6 + each.delay }));
      const latest: Record<string, number> = {};
      for (const each of arrivals) {
        each.arrival = Math.max(each.arrival, latest[each.source] ?? 0);
        latest[each.source] = each.arrival;
      }
      let now = 0;
      for (const { source, time, arrival } of [...arrivals].sort((x, y) => x.arrival - y.arrival)) {
        await world.pass(arrival - now);
        now = arrival;
        logs[source]?.say(time);
      }
      await world.pass(1000);
      const times = got.map((each) => each.time);
      expect(times).toEqual([...times].sort());
      const key = ({ source, line: text }: MergedLine) => `${source} ${text}`;
      const sent = lines.map(({ source, time }) => `${source} ${time}`);
      expect(got.map(key).sort()).toEqual(sent.sort());
    }),
    { numRuns: 100 },
  );
});
