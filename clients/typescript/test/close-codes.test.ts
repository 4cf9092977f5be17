import { expect, test } from 'vitest';
import { explain } from '../src/close-codes.ts';

test.each([
  [1000, 'network', false],
  [1001, 'restarting', false],
  [1002, 'network', false],
  [1005, 'network', false],
  [1006, 'network', false],
  [1009, 'network', false],
  [1011, 'unavailable', false],
  [1012, 'restarting', false],
  [1013, 'unavailable', false],
  [1014, 'unavailable', false],
  [1015, 'network', false],
  [3000, 'network', false],
  [4000, 'network', false],
  [4400, 'refused', true],
  [4401, 'unauthorized', true],
  [4403, 'forbidden', true],
  [4404, 'not-found', true],
  [4408, 'unavailable', false],
  [4409, 'not-running', true],
  [4410, 'unreadable', true],
  [4429, 'unavailable', false],
  [4499, 'refused', true],
  [4500, 'network', false],
])('%i is %s, final: %s', (closeCode, code, final) => {
  const explained = explain(closeCode);
  expect(explained.final).toBe(final);
  expect(explained.reason).toMatchObject({ code, closeCode });
  expect(explained.reason.message).not.toBe('');
});

test("the service's own words come first", () => {
  expect(explain(4404, 'Container not found').reason.message).toBe('Container not found');
});
