import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LEVELS, levelOf, levelOfValue } from '../src/lib/log/level';

test.each([
  ['ERROR something broke', 'error'],
  ['2025-01-15 10:30:01 [INFO] Server listening on port 3000', 'info'],
  ['2025-01-15T10:30:01Z WARN disk is nearly full', 'warn'],
  ['2025-01-15T10:30:01.123Z  error opening the file', 'error'],
  ['[E] no more memory', 'error'],
  ['[W] low memory', 'warn'],
  ['[D] details', 'debug'],
  ['level=warning msg="slow query"', 'warn'],
  ['time="2025-01-15" level=error msg="x"', 'error'],
  ['ts=1 lvl=dbg caller=main.go:1', 'debug'],
  ['{"severity":"CRITICAL","message":"x"}', 'error'],
  ['{"level": "info"}', 'info'],
  ['E0115 10:30:01.000000 1 main.go:1] glog', 'error'],
  ['I0115 10:30:01.000000 1 main.go:1] glog', 'info'],
  ['W/ActivityManager: android', 'warn'],
  ['npm ERR! code ELIFECYCLE', 'error'],
  ['main.c:3: warning: unused variable', 'warn'],
  ['2025-01-15 10:30:01 UTC [12] FATAL:  database does not exist', 'error'],
  ['10:30:01 [http-nio-8080] DEBUG o.s.web - GET /', 'debug'],
  ['2025/01/15 10:30:01 [error] 7#7: *1 open() failed', 'error'],
  ['Traceback (most recent call last):', 'error'],
  ['TypeError: x is not a function', 'error'],
  ['java.lang.NullPointerException', 'error'],
  ['panic: runtime error: index out of range', 'error'],
  ['<warn> NetworkManager', 'warn'],
  ['TRACE entering', 'debug'],
  ['notice: configuration reloaded', 'info'],
] as const)('%j is %s', (text, level) => {
  expect(levelOf(text)).toBe(level);
});

test.each([
  'GET /error HTTP/1.1 200',
  'the user information page',
  'errors: 0',
  'no-error-here',
  'Finished in 3 s',
  '127.0.0.1 - - "GET /info.html"',
  'erroneous',
  'We are fine-tuning',
  '',
])('%j says no level', (text) => {
  expect(levelOf(text)).toBe('none');
});

test('a level far into a line is part of its message', () => {
  expect(levelOf(`${'x '.repeat(100)} ERROR`)).toBe('none');
});

test('any line has one of the levels', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => LEVELS.includes(levelOf(text))));
});

test.each([
  [10, 'debug'],
  [30, 'info'],
  [40, 'warn'],
  [50, 'error'],
  [60, 'error'],
  [0, 'none'],
  ['Warning', 'warn'],
  [' ERROR ', 'error'],
  ['constructor', 'none'],
  [null, 'none'],
] as const)('a field %j is %s', (value, level) => {
  expect(levelOfValue(value)).toBe(level);
});
