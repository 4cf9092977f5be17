import type { Usage } from '@mist/client';
import { describe, expect, test } from 'vitest';
import { grown, linePath, SPAN_S, smooth, type Trend } from '../src/lib/trend';

const usage = (cpu_percent: number | null, memory_used = 1): Usage =>
  ({ cpu_percent, memory_used }) as Usage;

function trendOf(values: readonly (number | null)[], from = 1000): Trend | undefined {
  let trend: Trend | undefined;
  for (const [i, value] of values.entries()) trend = grown(trend, from + i, usage(value));
  return trend;
}

describe('a trend', () => {
  test('grows by a sample, and forgets what no line shows', () => {
    const trend = trendOf(Array.from({ length: 1000 }, (_, i) => i));
    expect(trend?.cpu.at(-1)).toBe(999);
    expect(trend?.times.length).toBe(trend?.cpu.length);
    expect(trend?.memory.length).toBe(trend?.cpu.length);
    expect(trend?.times.length).toBeGreaterThan(SPAN_S);
    expect(trend?.times.length).toBeLessThan(SPAN_S + 10);
  });

  test('begins again where the clock was set back, or after a long time without samples', () => {
    const trend = trendOf([1, 2, 3]);
    expect(grown(trend, 500, usage(9)).cpu).toEqual([9]);
    expect(grown(trend, 1002, usage(9)).cpu).toEqual([9]);
    expect(grown(trend, 5000, usage(9)).cpu).toEqual([9]);
  });

  test('is smooth for sorting', () => {
    expect(smooth(trendOf([100, ...Array.from({ length: 10 }, () => 2)]), 'cpu')).toBe(2);
    expect(smooth(trendOf([null, null]), 'cpu')).toBeNull();
    expect(smooth(trendOf([4, null, 6]), 'cpu')).toBe(5);
    expect(smooth(undefined, 'cpu')).toBeNull();
  });
});

describe('a line', () => {
  const box = { width: 120, height: 20, top: 100 };

  test('ends at the right edge, and its largest value is at the top', () => {
    expect(linePath([0, 60, 120], [0, 50, 100], box)).toBe('M0.0 19.3M60.0 10.0M120.0 0.8');
    expect(linePath([118, 119, 120], [0, 0, 400], box)).toBe('M118.0 19.3L119.0 19.3L120.0 0.8');
  });

  test('has a gap where samples are missing', () => {
    expect(linePath([100, 101, 102, 120], [1, null, 1, 1], box).match(/M/g)).toHaveLength(2);
    expect(linePath([0, 1], [null, null], box)).toBe('');
    expect(linePath([], [], box)).toBe('');
  });

  test('of zeros is at the bottom, whatever the top', () => {
    expect(linePath([119, 120], [0, 0], { ...box, top: 0 })).toBe('M119.0 19.3L120.0 19.3');
  });
});
