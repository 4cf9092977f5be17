import { expect, test } from 'vitest';
import { askFor } from '../src/lib/log/ask';
import { NO_FILTER } from '../src/lib/log/filter';
import { NO_QUERY } from '../src/lib/log/search';

const plain = { regex: false, case: false, invert: false };

test('one term is a text, several are one expression', () => {
  const ask = (...terms: string[]) => askFor({ ...NO_QUERY, terms }, NO_FILTER);
  expect(ask('a.b')).toEqual({ q: 'a.b', ...plain });
  expect(ask('a.b', '', '(c|d)/')).toEqual({
    q: 'a\\.b|\\(c\\|d\\)/',
    ...plain,
    regex: true,
  });
  expect(ask('', '')).toEqual({});
});

test('several expressions keep their alternatives apart', () => {
  const query = { ...NO_QUERY, terms: ['^a|b', 'c$'], regex: true, matchCase: true, invert: true };
  expect(askFor(query, NO_FILTER)).toEqual({
    q: '(?:^a|b)|(?:c$)',
    regex: true,
    case: true,
    invert: true,
  });
});

test('one hidden stream leaves the other one', () => {
  const hidden = (...hiddenStreams: ('stdout' | 'stderr')[]) =>
    askFor(NO_QUERY, { ...NO_FILTER, hiddenStreams });
  expect(hidden('stdout')).toEqual({ stream: 'stderr' });
  expect(hidden('stderr')).toEqual({ stream: 'stdout' });
  expect(hidden('stdout', 'stderr')).toEqual({});
});
