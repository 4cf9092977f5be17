import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { lineEntry } from '../src/lib/log/entry';
import { fieldsOf, jsonFields, keyRanges, logfmtPairs } from '../src/lib/log/fields';

const entry = (line: string) =>
  lineEntry(1, { app: 1, time: '2025-01-15T10:30:00.000000000Z', stream: 'stdout', line });

describe('JSON', () => {
  test('is shown as key=value, in its own order', () => {
    const { text, level } = entry(
      '{"level":"error","msg":"it broke","http":{"status":500},"a":[1]}',
    );
    expect(text).toBe('level=error msg=it broke http.status=500 a=[1]');
    expect(level).toBe('error');
  });

  test('may be coloured', () => {
    expect(entry('\x1b[32m{"a":"b"}\x1b[0m').text).toBe('a=b');
  });

  test.each(['{', '{}', '[]', '{"a":', '"text"', 'null', '{a:1}'])('%j is text', (line) => {
    expect(entry(line).text).toBe(line);
  });

  test('keys stand where they are shown', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ minLength: 1 }), fc.string()), (object) => {
        const line = JSON.stringify(object);
        const { raw, text } = entry(line);
        const fields = jsonFields(line)?.fields ?? [];
        const shown = keyRanges(raw, text).map(({ start, end }) => text.slice(start, end));
        if (fields.length > 0) expect(shown).toEqual(fields.map(([key]) => `${key}=`));
      }),
    );
  });
});

describe('logfmt', () => {
  test('gives its fields', () => {
    const text = 'level=info msg="it \\"works\\"" took=3ms empty=';
    expect(fieldsOf(text, text)).toEqual([
      ['level', 'info'],
      ['msg', 'it "works"'],
      ['took', '3ms'],
      ['empty', ''],
    ]);
  });

  test.each(['a=b', 'if x = 3 then y = 4', 'see https://example.com/?a=b&c=d for more', 'plain'])(
    '%j is text',
    (text) => {
      expect(logfmtPairs(text)).toEqual([]);
    },
  );
});

test('any line becomes an entry', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (line) => entry(line).raw === line));
});
