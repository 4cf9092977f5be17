import type { UsageSample } from '@mist/client';
import { describe, expect, test } from 'vitest';
import { containerCharts, rates } from '../src/lib/charts';
import { nearest, timeTicks, topOf, valueTicks, wholeRange } from '../src/lib/plot';

describe('rates', () => {
  test('are what a counter grew by, per second', () => {
    expect(rates([0, 1, 3], [10, 30, 130])).toEqual([null, 20, 50]);
  });

  test('begin at zero when the container was started anew', () => {
    expect(rates([0, 1, 2], [1000, 50, 60])).toEqual([null, 50, 10]);
  });

  test('are unknown where a figure is, or the time stands still', () => {
    expect(rates([0, 1, 2, 2], [0, null, 5, 9])).toEqual([null, null, null, null]);
  });
});

describe('the charts of a container', () => {
  const sample = (second: number, more: Partial<UsageSample> = {}): UsageSample => ({
    timestamp: `2025-01-15T10:00:0${second}Z`,
    cpu_percent: 150.26,
    memory_used: 3 * 1024 ** 2,
    memory_limit: 12 * 1024 ** 2,
    memory_percent: 25,
    network_rx: 1024 * second,
    network_tx: 0,
    block_read: 0,
    block_write: 2048 * second,
    pids: 1,
    ...more,
  });
  const words = (samples: readonly UsageSample[]) =>
    Object.fromEntries(containerCharts(samples).map(({ name, now, more }) => [name, [now, more]]));

  test('say their latest value', () => {
    expect(words([sample(1), sample(2)])).toEqual({
      CPU: ['150.3 %', '100 % is one core'],
      Memory: ['3.0 MiB', '25.0 % of 12.0 MiB'],
      'Network received': ['1.0 KiB/s', '2.0 KiB in all'],
      'Network sent': ['0 B/s', '0 B in all'],
      'Block read': ['0 B/s', '0 B in all'],
      'Block written': ['2.0 KiB/s', '4.0 KiB in all'],
      Processes: ['1 process', ''],
    });
  });

  test('say so where nothing is known', () => {
    const found = words([]);
    expect(Object.values(found).map(([now]) => now)).toEqual(Array(7).fill('unknown'));
    expect(words([sample(1, { cpu_percent: null, memory_limit: null })])).toMatchObject({
      CPU: ['unknown', expect.anything()],
      Memory: ['3.0 MiB', ''],
      'Network received': ['unknown', '1.0 KiB in all'],
    });
  });
});

describe('axes', () => {
  test('have ticks at round times', () => {
    expect(timeTicks([103, 160], 4)).toEqual([105, 120, 135, 150]);
    expect(timeTicks([0, 3600], 6)).toEqual([0, 600, 1200, 1800, 2400, 3000, 3600]);
    expect(timeTicks([0, 1e9], 2).length).toBeGreaterThan(0);
  });

  test('have ticks at round values, in bytes by their unit', () => {
    expect(valueTicks(100, 5)).toEqual([0, 20, 40, 60, 80, 100]);
    expect(valueTicks(3 * 1024, 3, 1024)).toEqual([0, 1024, 2048, 3072]);
    expect(valueTicks(0.5, 5)).toHaveLength(6);
    expect(valueTicks(0, 5)).toEqual([0]);
  });

  test('reach from the first to the last time, and above the largest value in sight', () => {
    expect(wholeRange([5, 9])).toEqual([5, 9]);
    expect(wholeRange([5])).toEqual([5, 65]);
    expect(wholeRange([])).toEqual([0, 60]);
    expect(topOf([1, 2, 3], [900, 10, null], [2, 3])).toBe(11);
    expect(topOf([1], [0], [0, 1])).toBe(1);
  });
});

test('the nearest time is found', () => {
  expect([0, 14, 15.1, 99].map((time) => nearest([10, 20, 30], time))).toEqual([0, 0, 1, 2]);
  expect(nearest([], 5)).toBe(-1);
});
