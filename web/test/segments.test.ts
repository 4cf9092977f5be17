import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { show } from '../src/lib/log/ansi';
import { safeHref, segmentsOf } from '../src/lib/log/segments';

const links = (text: string) =>
  segmentsOf(show(text), null, [], 4000)
    .filter(({ href }) => href !== null)
    .map(({ text: shown, href }) => [shown, href]);

describe('links', () => {
  test('are http and https', () => {
    expect(links('see https://example.com/a?b=c, and (http://x.test/y).')).toEqual([
      ['https://example.com/a?b=c', 'https://example.com/a?b=c'],
      ['http://x.test/y', 'http://x.test/y'],
    ]);
  });

  test.each([
    'javascript:alert(1)',
    'javascript://example.com/%0aalert(1)',
    'data:text/html,<script>alert(1)</script>',
    'vbscript:x',
    'file:///etc/passwd',
    'https://',
  ])('%j is none', (text) => {
    expect(links(text)).toEqual([]);
    expect(safeHref(text)).toBeNull();
  });

  test('end before a control of direction', () => {
    expect(links('https://example.com/\u202Egnp.exe')[0]?.[0]).toBe('https://example.com/');
  });
});

test('bidirectional controls and separators are named', () => {
  const shown = segmentsOf(show('a\u202Eb\u2028c\u2066d'), null, [], 4000);
  expect(shown.map(({ text, control }) => control ?? text)).toEqual([
    'a',
    'U+202E',
    'b',
    'U+2028',
    'c',
    'U+2066',
    'd',
  ]);
});

test('all of the text is shown, whatever is drawn on it', () => {
  const hits = fc.array(fc.tuple(fc.nat(60), fc.nat(60), fc.nat(7)));
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), hits, fc.nat(80), (raw, ranges, limit) => {
      const shown = show(raw.replaceAll('\n', ''));
      const flat = ranges.flatMap(([a, length, term]) => [a, a + length, term]);
      const text = segmentsOf(shown, flat, [], limit)
        .map((each) => each.text)
        .join('');
      expect(shown.text.startsWith(text)).toBe(true);
      expect(text.length).toBeGreaterThanOrEqual(Math.min(limit, shown.text.length) - 1);
    }),
  );
});
