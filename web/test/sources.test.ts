import { describe, expect, test } from 'vitest';
import { containerOf, logAddress, optionsOf, paramOf, sourceOf, turnsOf } from '../src/lib/sources';

describe('the number of a log', () => {
  test('is the id of an application, and negative for any other container', () => {
    expect(optionsOf(3)).toEqual({ appId: 3 });
    const source = sourceOf('shop-web-1');
    expect(source).toBeLessThan(0);
    expect(optionsOf(source)).toEqual({ container: 'shop-web-1' });
    expect(containerOf(3)).toBeUndefined();
  });

  test('follows from the name and survives being written down', () => {
    const names = Array.from({ length: 5000 }, (_, i) => `project-service-${i}`);
    const numbers = names.map(sourceOf);
    expect(new Set(numbers).size).toBe(names.length);
    expect(numbers).toEqual(names.map(sourceOf));
    for (const [i, number] of numbers.entries()) {
      expect(containerOf(Number(String(number)))).toBe(names[i]);
    }
  });

  test('becomes an address', () => {
    expect(paramOf(sourceOf('a&b=c d'))).toBe('container=a%26b%3Dc%20d');
    expect(logAddress([1, sourceOf('web')])).toBe('log?app=1&container=web');
    expect(logAddress([1, 2], true)).toBe('log?app=1&app=2&view=side');
    expect(logAddress([1], true)).toBe('log?app=1');
  });
});

describe('the colour of a log', () => {
  test('is the same whichever others are shown, and in whichever order', () => {
    const before = turnsOf([11, 12, 13]);
    expect(turnsOf([13, 12]).get(13)).toBe(before.get(13));
    expect(turnsOf([13, 11, 12])).toEqual(before);
  });

  test('is its own among eight', () => {
    const logs = [1, 9, 17, 25, 2, 10, sourceOf('web'), sourceOf('db')];
    expect(new Set(turnsOf(logs).values()).size).toBe(8);
    expect(new Set(turnsOf([...logs, 33, 41]).values()).size).toBe(8);
  });

  test('stays when a log with the same colour is added', () => {
    const [first] = [turnsOf([104]).get(104)];
    expect(turnsOf([96, 104]).get(104)).toBe(first);
    expect(turnsOf([96, 104]).get(96)).not.toBe(first);
  });
});
