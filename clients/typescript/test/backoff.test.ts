import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Backoff } from '../src/backoff.ts';

test('pauses grow to the limit, each from half of it to all of it', () => {
  const chance = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(chance, fc.integer({ min: 1, max: 40 }), (random, attempts) => {
      const backoff = new Backoff(() => random, { initial: 100, max: 5000, factor: 2 });
      for (let attempt = 0; attempt < attempts; attempt += 1) {
        const most = Math.min(5000, 100 * 2 ** attempt);
        const pause = backoff.next();
        expect(pause).toBeGreaterThanOrEqual(most / 2);
        expect(pause).toBeLessThanOrEqual(most);
      }
    }),
  );
});

test('after a reset the first pause is a short one again', () => {
  const backoff = new Backoff(() => 1);
  expect([backoff.next(), backoff.next()]).toEqual([200, 300]);
  backoff.reset();
  expect(backoff.next()).toBe(200);
});

test('a restart is answered at once, spread over half a second, and backs off if it fails', () => {
  const at = (random: number) => new Backoff(() => random).afterRestart();
  expect([at(0), at(0.5), at(1)]).toEqual([0, 250, 500]);
  const backoff = new Backoff(() => 1);
  expect([backoff.afterRestart(), backoff.afterRestart(), backoff.next()]).toEqual([500, 300, 450]);
});
