import { expect, test } from 'vitest';
import { appendLines, NO_LINES } from '../src/lines.ts';

const lines = (...texts: string[]) =>
  texts.map((line) => ({
    time: '2025-01-15T10:30:00.000000000Z',
    stream: 'stdout' as const,
    line,
  }));

test('the newest lines stay, and those before them are counted', () => {
  const first = appendLines(NO_LINES, lines('a', 'b'), { maxLines: 3 });
  expect(first).toMatchObject({ logs: ['a', 'b'], dropped: 0 });
  const second = appendLines(first, lines('c', 'd'), { maxLines: 3 });
  expect(second).toMatchObject({ logs: ['b', 'c', 'd'], dropped: 1 });
  expect(second.lines.map(({ line }) => line)).toEqual(second.logs);
  expect(appendLines(second, lines(...'efghi'), { maxLines: 3 })).toMatchObject({
    logs: ['g', 'h', 'i'],
    dropped: 6,
  });
});

test.each([
  [undefined, 10_000],
  [0, 0],
  [-1, 0],
])('maxLines %s holds %s lines', (maxLines, held) => {
  const many = lines(...Array.from({ length: 12_000 }, (_, n) => `${n}`));
  const view = appendLines(NO_LINES, many, maxLines === undefined ? {} : { maxLines });
  expect(view.logs).toHaveLength(held);
  expect(view.dropped).toBe(12_000 - held);
});
