import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareTimes, earlier, normalizeTime } from '../src/time.ts';
import { at } from './world.ts';

const nanoseconds = fc.bigInt({ min: 0n, max: 10n ** 13n });

test('times compare to the nanosecond', () => {
  fc.assert(
    fc.property(nanoseconds, nanoseconds, (a, b) => {
      expect(compareTimes(at(a), at(b))).toBe(a < b ? -1 : Number(a > b));
    }),
  );
});

test.each([
  ['2025-01-15T10:30:00Z', '2025-01-15T10:30:00.000000000Z'],
  ['2025-01-15T10:30:00.5Z', '2025-01-15T10:30:00.500000000Z'],
  ['2025-01-15T10:30:00.123456789+01:00', '2025-01-15T09:30:00.123456789Z'],
  ['2025-01-15t10:30:00z', '2025-01-15T10:30:00.000000000Z'],
  ['2025-13-45T99:30:00Z', '2025-13-45T99:30:00Z'],
  ['yesterday', 'yesterday'],
])('%s becomes %s', (given, expected) => {
  expect(normalizeTime(given)).toBe(expected);
});

test('a fraction of any length is compared as a number', () => {
  expect(compareTimes('2025-01-15T10:30:00.5Z', '2025-01-15T10:30:00.49Z')).toBe(1);
  expect(compareTimes('2025-01-15T10:30:00Z', '2025-01-15T10:30:00.000Z')).toBe(0);
});

test('a moment earlier keeps the nanoseconds', () => {
  expect(earlier('2025-01-01T00:00:00.123456789Z', 1000)).toBe('2024-12-31T23:59:59.123456789Z');
  expect(earlier('2025-01-01T00:00:00.123456789Z', 124)).toBe('2024-12-31T23:59:59.999456789Z');
  expect(earlier('2025-01-01T00:00:00.5Z', -600)).toBe('2025-01-01T00:00:01.100000000Z');
  expect(earlier('no time', 1)).toBe('no time');
});
