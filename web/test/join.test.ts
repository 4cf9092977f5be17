import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { heldBefore, type Line, linesAfter, linesBefore } from '../src/lib/log/join';

const at = (ms: number) => `${new Date(1_736_937_000_000 + ms).toISOString().slice(0, 23)}000000Z`;
const line = (ms: number, text: string, stream: 'stdout' | 'stderr' = 'stdout'): Line => ({
  time: at(ms),
  stream,
  line: text,
});

/** A log whose times are out of order by less than 100 ms, with repeated texts and times. */
const logs = fc
  .array(fc.tuple(fc.nat({ max: 99 }), fc.constantFrom('a', 'b', 'c')), {
    minLength: 2,
    maxLength: 60,
  })
  .map((parts) =>
    parts.map(([late, text], index) =>
      // Each line is a different one, as the engine's nanoseconds make it.
      line(index * 40 + late, `${text} ${index}`, late % 2 ? 'stderr' : 'stdout'),
    ),
  );

const inRange = (log: readonly Line[], since: string, until: string) =>
  log.filter(({ time }) => time >= since && (until === '' || time < until));

describe('older lines', () => {
  test('end where the held ones begin, whatever the times are', () => {
    fc.assert(
      fc.property(logs, fc.nat({ max: 59 }), fc.nat({ max: 10 }), (log, cut, written) => {
        const place = cut % log.length;
        const first = log[place] as Line;
        const until = at(Date.parse(first.time) - 1_736_937_000_000 + 1000);
        // The answer is older than what is held, or newer.
        const answer = inRange(log.slice(0, log.length - (written % 3)), '', until);
        const held = log.slice(place, log.length - (written % 2));
        if (answer.length === 0 || held.length === 0 || place >= log.length - 2) return;
        expect(linesBefore(answer, heldBefore(held, until))).toEqual(log.slice(0, place));
      }),
    );
  });

  test('that are the same text at the same time are told apart by what follows', () => {
    const twin = line(1, 'twin');
    const log = [line(0, 'first'), twin, twin, twin, line(2, 'last')];
    const until = at(1000);
    expect(linesBefore(log, heldBefore(log.slice(2), until))).toEqual(log.slice(0, 2));
    expect(linesBefore(log, heldBefore(log.slice(3), until))).toEqual(log.slice(0, 3));
  });

  test('are all of the answer if nothing is held, and none if all of it is', () => {
    const log = [line(0, 'a'), line(1, 'b')];
    const until = at(1000);
    expect(linesBefore(log, heldBefore([], until))).toEqual(log);
    expect(linesBefore(log, heldBefore(log, until))).toEqual([]);
  });

  test('of another container than the held ones do not repeat what is held', () => {
    const old = [line(0, 'old'), line(1, 'older')];
    const fresh = [line(500, 'new'), line(501, 'newer')];
    const until = at(1000);
    expect(linesBefore(fresh, heldBefore([...old, ...fresh], until))).toEqual([]);
  });

  test('that a range has cut off a disordered pair are not lost', () => {
    // Held from the time 10 on, which leaves out the line of time 9 behind it.
    const log = [line(5, 'a'), line(10, 'b'), line(9, 'late'), line(11, 'c')];
    const held = [log[1], log[3]] as Line[];
    const until = at(1010);
    expect(linesBefore(log, heldBefore(held, until)).map((each) => each.line)).toEqual([
      'a',
      'late',
    ]);
  });
});

describe('newer lines', () => {
  test('begin where the held ones end, whatever the times are', () => {
    fc.assert(
      fc.property(logs, fc.nat({ max: 59 }), (log, cut) => {
        const place = 1 + (cut % (log.length - 1));
        const held = log.slice(0, place);
        const last = held[held.length - 1] as Line;
        const since = at(Date.parse(last.time) - 1_736_937_000_000 - 1000);
        const known = inRange(held, since, '');
        const answer = inRange(log, since, '');
        expect(linesAfter(answer, known)).toEqual(log.slice(place));
      }),
    );
  });

  test('are what is not held, if the last held line is gone', () => {
    const log = [line(0, 'a'), line(1, 'b'), line(2, 'c')];
    expect(linesAfter(log.slice(2), log.slice(0, 2))).toEqual(log.slice(2));
  });
});
