import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { indexed, PLAIN, RGB, show } from '../src/lib/log/ansi';

const text = (raw: string) => show(raw).text;
const style = (raw: string) => show(raw).spans[0]?.style;

describe('text', () => {
  test.each([
    ['plain', 'plain'],
    ['a\tb', 'a\tb'],
    ['\x1b[31mred\x1b[0m plain', 'red plain'],
    ['\x1b[2Jcleared\x1b[10;10H', 'cleared'],
    ['\x1b[?25lhidden cursor\x1b[?25h', 'hidden cursor'],
    ['\x1b]0;title\x07after', 'after'],
    ['\x1b]8;;javascript:alert(1)\x1b\\link\x1b]8;;\x1b\\', 'link'],
    ['\x1b]never ends', 'never ends'],
    ['\x1bPq#0;2;0;0;0\x1b\\sixel', 'sixel'],
    ['\x1b(Bascii', 'ascii'],
    ['\x9b31mC1\x9b0m', 'C1'],
    ['bell\x07 null\x00 backspace\x08', 'bell null backspace'],
    ['\x1b[31', '31'],
    ['\x1b', ''],
    ['line\r', 'line'],
    ['10 %\r20 %\r100 %', '100 %'],
    ['long text\rshort', 'shorttext'],
    ['long text\r\x1b[Kshort', 'short'],
    ['long text\x1b[2K\rshort', 'short'],
    ['a\r\r\rb', 'b'],
    ['😀😀\rx', 'x😀'],
  ])('%j is shown as %j', (raw, shown) => {
    expect(text(raw)).toBe(shown);
  });

  test('holds no control character but the tab, whatever comes', () => {
    const pieces = fc.constantFrom(
      '\x1b',
      '[',
      ']',
      '31',
      ';',
      'm',
      'K',
      '\r',
      '\x07',
      '\\',
      'ä😀',
    );
    const any = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(pieces).map((all) => all.join('')),
    );
    fc.assert(
      fc.property(any, (raw) => {
        const { text: shown, spans } = show(raw.replaceAll('\n', ''));
        expect(shown).not.toMatch(/[\x00-\x08\x0a-\x1f\x7f-\x9f]/);
        let end = 0;
        for (const span of spans) {
          expect(span.start).toBeGreaterThanOrEqual(end);
          expect(span.end).toBeGreaterThan(span.start);
          end = span.end;
        }
        expect(end).toBeLessThanOrEqual(shown.length);
      }),
    );
  });

  test('leaves text without controls as it is', () => {
    fc.assert(
      fc.property(fc.string(), (raw) => {
        const plain = raw.replace(/[\x00-\x08\x0a-\x1f\x7f-\x9f]/g, '');
        expect(text(plain)).toBe(plain);
      }),
    );
  });

  test('takes time in proportion to the line', () => {
    for (const raw of ['\x1b]'.repeat(500_000), '\x1b['.repeat(500_000), '\r'.repeat(1_000_000)]) {
      const began = performance.now();
      show(raw);
      expect(performance.now() - began).toBeLessThan(2000);
    }
  });
});

describe('colours', () => {
  test.each([
    ['\x1b[31mx', { fg: 1 }],
    ['\x1b[97mx', { fg: 15 }],
    ['\x1b[44mx', { bg: 4 }],
    ['\x1b[103mx', { bg: 11 }],
    ['\x1b[38;5;9mx', { fg: 9 }],
    ['\x1b[38;5;196mx', { fg: RGB | 0xff0000 }],
    ['\x1b[48;5;232mx', { bg: RGB | 0x080808 }],
    ['\x1b[38;2;1;2;3mx', { fg: RGB | 0x010203 }],
    ['\x1b[38:2::1:2:3mx', { fg: RGB | 0x010203 }],
    ['\x1b[38:2:1:2:3mx', { fg: RGB | 0x010203 }],
    ['\x1b[38:5:9mx', { fg: 9 }],
    [
      '\x1b[1;3;4;9;7mx',
      { bold: true, italic: true, underline: true, strike: true, inverse: true },
    ],
    ['\x1b[4:3mx', { underline: true }],
    ['\x1b[1m\x1b[22m\x1b[2mx', { dim: true }],
    ['\x1b[31;0;32mx', { fg: 2 }],
    ['\x1b[38;5;300;1mx', { bold: true }],
  ])('%j', (raw, expected) => {
    expect(style(raw)).toEqual({ ...PLAIN, ...expected });
  });

  test.each(['\x1b[0mx', '\x1b[mx', '\x1b[31m\x1b[39mx', '\x1b[38;2mx', '\x1b[38;5;999mx'])(
    '%j is plain',
    (raw) => {
      expect(show(raw).spans).toEqual([]);
    },
  );

  test('of the cube and the greys', () => {
    expect(indexed(16)).toBe(RGB | 0x000000);
    expect(indexed(21)).toBe(RGB | 0x0000ff);
    expect(indexed(231)).toBe(RGB | 0xffffff);
    expect(indexed(255)).toBe(RGB | 0xeeeeee);
  });

  test('survive a carriage return', () => {
    const { text: shown, spans } = show('\x1b[31mred\x1b[0m and\r\x1b[32mgr');
    expect(shown).toBe('grd and');
    expect(spans.map(({ start, end, style: { fg } }) => [start, end, fg])).toEqual([
      [0, 2, 2],
      [2, 3, 1],
    ]);
  });
});
