import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Gap, type Resume, ResumePoint } from '../src/resume.ts';
import { compareTimes } from '../src/time.ts';
import type { LogLine } from '../src/types.ts';
import { at } from './world.ts';

const line = (nanoseconds: number, text: string, stream: 'stdout' | 'stderr' = 'stdout') => ({
  time: at(nanoseconds),
  stream,
  line: text,
});

interface Served {
  readonly skipped: number;
  readonly lines: readonly LogLine[];
}

/**
 * The service's answer to `since` (api/live/ring.py): messages of several lines are looked
 * at from the newest on, until one whose last line is not later; of each, what follows its
 * first later line is sent, of all together the last `reach` lines at most.
 */
function serve(chunks: readonly LogLine[][], since: string, reach: number): Served {
  let found: LogLine[] = [];
  let older = 0;
  let left = reach;
  for (const chunk of [...chunks].reverse()) {
    const last = chunk.at(-1);
    if (last === undefined || compareTimes(last.time, since) <= 0)
      return { skipped: older, lines: found };
    const fresh = chunk.flatMap(({ time }, index) =>
      compareTimes(time, since) > 0 ? [index] : [],
    );
    const keep = Math.min(fresh.length, left);
    older += fresh.length - keep;
    left -= keep;
    if (keep > 0) found = [...chunk.slice(fresh.at(-keep)), ...found];
    if (fresh.length < chunk.length) return { skipped: older, lines: found };
  }
  // The beginning of the log is still there, so nothing else is missing.
  return { skipped: older, lines: found };
}

/** Return what a client delivers that has `point` and is served this. */
function deliver(
  point: ResumePoint,
  served: Served,
  resume: Resume,
): { lines: LogLine[]; gap: Gap } {
  const lines: LogLine[] = [];
  if (served.skipped > 0) resume.skip(served.skipped);
  for (const each of served.lines) lines.push(...resume.feed(each));
  lines.push(...resume.finish());
  for (const each of lines) point.push(each);
  return { lines, gap: resume.gap as Gap };
}

/** Logs with many lines of one nanosecond, of one text, and times slightly out of order. */
const logs = fc
  .array(
    fc.record({
      step: fc.constantFrom(0, 0, 0, 1, 1000, 100_000_000, 700_000_000, 3_000_000_000),
      back: fc.constantFrom(0, 0, 0, 0, 1, 2000),
      text: fc.constantFrom('a', 'b', 'c', 'x'.repeat(300), 'y'.repeat(300)),
      stream: fc.constantFrom('stdout' as const, 'stdout' as const, 'stderr' as const),
    }),
    { minLength: 1, maxLength: 80 },
  )
  .map((steps) => {
    let now = 10_000_000_000;
    return steps.map(({ step, back, text, stream }) => {
      now += step;
      return line(now - back, text, stream);
    });
  });

/** Cut a list into messages of some lines each. */
function cut<T>(items: readonly T[], sizes: readonly number[]): T[][] {
  const chunks: T[][] = [];
  for (let start = 0, turn = 0; start < items.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    chunks.push(items.slice(start, start + size));
    start += size;
  }
  return chunks;
}

const sizes = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 5 });

test('however often the connection is cut, every line comes once and in order', () => {
  const cuts = fc.array(fc.nat({ max: 80 }), { maxLength: 6 });
  fc.assert(
    fc.property(logs, sizes, fc.nat({ max: 80 }), cuts, (log, chunkSizes, tail, places) => {
      const start = Math.min(tail, log.length - 1);
      const later = new Set(log.slice(start).map((each) => JSON.stringify(each)));
      fc.pre(!log.slice(0, start).some((each) => later.has(JSON.stringify(each))));
      const point = new ResumePoint();
      const got: LogLine[] = log.slice(start, start + 1);
      for (const each of got) point.push(each);
      for (const place of [...places.sort((a, b) => a - b), log.length]) {
        // The connection ends after `place` lines were written, at least those that were received.
        const written = log.slice(0, Math.max(place, start + got.length));
        const { since } = point;
        const served = serve(cut(written, chunkSizes), since, 1000);
        const { lines, gap } = deliver(point, served, point.resume(since));
        got.push(...lines);
        expect(gap).toEqual({ missing: 0, exact: true });
      }
      expect(got).toEqual(log.slice(start));
    }),
    { numRuns: 2000 },
  );
});

test('a log that outran the memory of the service tells exactly how many lines are missing', () => {
  const reaches = fc.integer({ min: 1, max: 40 });
  const places = fc.tuple(fc.nat({ max: 80 }), fc.nat({ max: 80 }));
  fc.assert(
    fc.property(logs, sizes, reaches, places, (shuffled, chunkSizes, reach, [a, b]) => {
      // Only lines in the order of their times can be counted by the service.
      const log = shuffled.map((each, index) => ({ ...each, time: at(index * 50_000_000) }));
      const first = Math.min(a, b) % log.length;
      const seen = Math.max(first, Math.max(a, b) % log.length);
      const point = new ResumePoint();
      for (const each of log.slice(first, seen + 1)) point.push(each);
      const served = serve(cut(log, chunkSizes), point.since, reach);
      const { lines, gap } = deliver(point, served, point.resume(point.since));
      const missing = log.length - (seen + 1) - lines.length;
      expect(lines).toEqual(log.slice(log.length - lines.length));
      if (gap.exact) expect(gap.missing).toBe(missing);
      // The newest 100 ms cannot be requested without the lines before them.
      else expect(served.skipped === 1 || seen - first < 2).toBe(true);
    }),
    { numRuns: 2000 },
  );
});

test('of three lines with the same time the first was delivered: the other two follow', () => {
  const point = new ResumePoint();
  const same = [line(5, 'one'), line(5, 'two'), line(5, 'two')];
  point.push(same[0] as LogLine);
  const { since } = point;
  expect(compareTimes(since, at(5))).toBe(-1);
  const { lines, gap } = deliver(point, { skipped: 0, lines: same }, point.resume(since));
  expect(lines.map((each) => each.line)).toEqual(['two', 'two']);
  expect(gap).toEqual({ missing: 0, exact: true });
});

test('a line that was stamped before the one that stands before it is not lost', () => {
  const log = [line(99_999_999, 'a'), line(100_000_000, 'a')];
  const point = new ResumePoint();
  for (const each of log) point.push(each);
  const later = [line(99_998_000, 'b', 'stderr'), line(100_000_000, 'a')];
  const { since } = point;
  const chunks = [...log, ...later].map((each) => [each]);
  const { lines } = deliver(point, serve(chunks, since, 1000), point.resume(since));
  expect(lines).toEqual(later);
});

test('lines before the first that was asked for are not delivered', () => {
  const point = new ResumePoint();
  point.push(line(900_000_000, 'tail'));
  const answer = [
    line(100, 'older'),
    line(200, 'older'),
    line(900_000_000, 'tail'),
    line(950_000_000, 'new'),
  ];
  const { lines } = deliver(point, { skipped: 0, lines: answer }, point.resume(point.since));
  expect(lines.map((each) => each.line)).toEqual(['new']);
});

test('where nothing known comes and nothing was skipped, nothing is claimed', () => {
  const point = new ResumePoint();
  point.push(line(5, 'of the old container'));
  const resume = point.resume(point.since);
  expect(resume.feed(line(90_000_000_000, 'of the new one'))).toHaveLength(1);
  expect(resume.gap).toEqual({ missing: 0, exact: false });
});

test('the service says 1 where it cannot count', () => {
  const point = new ResumePoint();
  point.push(line(5, 'known'));
  const resume = point.resume(point.since);
  resume.skip(1);
  resume.feed(line(90_000_000_000, 'much later'));
  expect(resume.gap).toEqual({ missing: 1, exact: false });
});

test("an engine's clock that was set back an hour repeats nothing", () => {
  const hour = 3_600_000_000_000;
  const before = Array.from({ length: 20 }, (_, n) => line(hour + n, `before ${n}`));
  const after = Array.from({ length: 20 }, (_, n) => line(n, `after ${n}`));
  const point = new ResumePoint();
  for (const each of [...before, ...after.slice(0, 10)]) point.push(each);
  const { since } = point;
  const served = serve(
    [...before, ...after].map((each) => [each]),
    since,
    1000,
  );
  const { lines } = deliver(point, served, point.resume(since));
  expect(lines).toEqual(after.slice(10));
});

test('long lines are told apart though only a hash of them is kept', () => {
  const long = (end: string) => line(5, `${'x'.repeat(5000)}${end}`);
  const point = new ResumePoint();
  point.push(long('a'));
  point.push(long('b'));
  const answer = ['a', 'b', 'c'].map(long);
  const { lines } = deliver(point, { skipped: 0, lines: answer }, point.resume(point.since));
  expect(lines).toEqual([long('c')]);
});

test('only the newest lines are remembered, and no more is asked for', () => {
  const point = new ResumePoint();
  const step = 100_000;
  for (let n = 0; n < 50_000; n += 1) point.push(line(n * step, `${n}`));
  const { since } = point;
  expect(compareTimes(since, at(40_000 * step))).toBe(1);
  const resume = point.resume(since);
  for (let n = 40_000; n < 50_000; n += 1) {
    if (compareTimes(at(n * step), since) > 0)
      expect(resume.feed(line(n * step, `${n}`))).toEqual([]);
  }
  expect(resume.feed(line(50_000 * step, '50000'))).toHaveLength(1);
  expect(resume.gap).toEqual({ missing: 0, exact: true });
});

/** Return the lines with the positions that the service gives them. */
const place = (log: readonly LogLine[]) =>
  log.map((each, index) => ({ ...each, pos: `p7.${index + 1}` }));

test('by position, every line comes once, whatever the times and the texts are', () => {
  const cuts = fc.array(fc.nat({ max: 80 }), { maxLength: 6 });
  fc.assert(
    fc.property(logs, fc.nat({ max: 80 }), cuts, fc.boolean(), (times, tail, places, back) => {
      const log = place(back ? [...times].reverse() : times);
      const start = Math.min(tail, log.length - 1);
      const point = new ResumePoint();
      const got: LogLine[] = log.slice(start, start + 1);
      for (const each of got) point.push(each);
      for (const cut of [...places.sort((a, b) => a - b), log.length]) {
        const written = log.slice(0, Math.max(cut, start + got.length));
        const since = written.findIndex(({ pos }) => pos === point.since) + 1;
        const served = { skipped: 0, lines: written.slice(since) };
        const { lines, gap } = deliver(point, served, point.resume(point.since));
        got.push(...lines);
        expect(gap).toEqual({ missing: 0, exact: true });
      }
      expect(got).toEqual(log.slice(start));
    }),
    { numRuns: 1000 },
  );
});

test('by position, what is gone is counted, and lines of another numbering are recognised', () => {
  fc.assert(
    fc.property(logs, fc.nat(), fc.nat({ max: 20 }), (times, cut, gone) => {
      const log = place(times.map((each, index) => ({ ...each, time: at(index * 1_000_000) })));
      const seen = 1 + (cut % log.length);
      const known = new ResumePoint();
      for (const each of log.slice(0, seen)) known.push(each);
      const { since } = known;
      const rest = log.slice(Math.min(log.length, seen + gone + 2));
      const skipped = Math.min(log.length, seen + gone + 2) - seen;
      if (skipped > 1) {
        const { lines, gap } = deliver(known, { skipped, lines: rest }, known.resume(since));
        expect([lines, gap]).toEqual([rest, { missing: skipped, exact: true }]);
      }
      const point = new ResumePoint();
      for (const each of log.slice(0, seen)) point.push(each);
      const renumbered = log.map((each) => ({ ...each, pos: each.pos.replace('p7', 'p9') }));
      const answer = { skipped: 1, lines: renumbered };
      const { lines, gap } = deliver(point, answer, point.resume(since));
      expect([lines, gap]).toEqual([renumbered.slice(seen), { missing: 0, exact: true }]);
    }),
    { numRuns: 1000 },
  );
});

test('lines that wait have a bound in characters, too', () => {
  const point = new ResumePoint();
  point.push({ ...line(0, 'known'), pos: 'p7.1' });
  const resume = point.resume('p7.1');
  resume.skip(1);
  const long = line(1, 'x'.repeat(1024 * 1024));
  for (let count = 1; count < 16; count += 1) expect(resume.feed(long)).toEqual([]);
  expect(resume.feed(long)).toHaveLength(16);
  expect(resume.gap).toEqual({ missing: 1, exact: false });
});
