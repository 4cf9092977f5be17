import { expect, test } from 'vitest';
import { ago, bytes, delta, duration, utcTime } from '../src/lib/format';
import { RGB } from '../src/lib/log/ansi';
import { channels, contrast, readable } from '../src/lib/log/colour';
import { fileName } from '../src/lib/log/download';

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [4294967296, '4.0 GiB'],
  [1e18, '888.2 PiB'],
])('%d bytes are %s', (value, text) => {
  expect(bytes(value)).toBe(text);
});

test.each([
  [-5, '0.0 s'],
  [400, '0.4 s'],
  [9960, '10 s'],
  [59_600, '1 min'],
  [185_000, '3 min 5 s'],
  [7_800_000, '2 h 10 min'],
  [90_000_000, '1 d 1 h'],
])('%d ms are %s', (value, text) => {
  expect(duration(value)).toBe(text);
});

test('times', () => {
  expect(ago(200)).toBe('now');
  expect(ago(61_000)).toBe('1 min ago');
  expect(delta(12)).toBe('+0.012');
  expect(delta(-1500)).toBe('-1.500');
  expect(delta(3_723_000)).toBe('+1:02:03');
  const noon = Date.UTC(2025, 0, 15, 12);
  expect(utcTime(noon, noon)).toBe('12:00:00.000Z');
  expect(utcTime(noon, noon + 86_400_000)).toBe('01-15 12:00:00.000Z');
});

test('a file is named by its range', () => {
  const name = fileName(
    ['shop', '../x y'],
    '2025-01-15T10:30:00.123456789Z',
    '2025-01-15T10:35:00Z',
  );
  expect(name).toBe('shop+.._x_y_2025-01-15T10-30-00Z_2025-01-15T10-35-00Z.log');
});

test('every colour of the cube can be read on both backgrounds', () => {
  for (const background of [RGB | 0x0e1116, RGB | 0xffffff, RGB | 0x808080]) {
    for (let rgb = 0; rgb <= 0xffffff; rgb += 0x333300 + 0x33) {
      const [r = 0, g = 0, b = 0] = (readable(RGB | rgb, background).match(/\d+/g) ?? []).map(
        Number,
      );
      expect(contrast([r, g, b], channels(background))).toBeGreaterThan(4.49);
    }
  }
});
