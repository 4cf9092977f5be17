/** The charts of a host and of a container. */

import type { MetricsSample, UsageSample } from '@mist/client';
import { FIGURES } from './figures';
import { bytes, percent, plural } from './format';

export interface Drawn {
  readonly name: string;
  readonly colour: string;
  readonly max: number | null;
  readonly values: readonly (number | null)[];
  /** Format a value for an axis, and the latest value in words. */
  readonly tick: (value: number) => string;
  readonly now: string;
  readonly more: string;
  /** 1024 where the values are bytes. */
  readonly unit: 1 | 1024;
}

const UNKNOWN = 'unknown';

export function hostCharts(samples: readonly MetricsSample[]): Drawn[] {
  const latest = samples.at(-1);
  return FIGURES.map(({ value, now, more, ...figure }) => ({
    ...figure,
    values: samples.map(value),
    now: latest ? now(latest) : UNKNOWN,
    more: latest ? more(latest) : '',
    unit: 1,
  }));
}

/** Return how fast counters of bytes grew, in bytes per second; a new start counts from 0. */
export function rates(
  times: readonly number[],
  counts: readonly (number | null)[],
): (number | null)[] {
  return counts.map((count, i) => {
    const before = counts[i - 1];
    const seconds = (times[i] ?? 0) - (times[i - 1] ?? 0);
    if (count === null || before === null || before === undefined || seconds <= 0) return null;
    return (count >= before ? count - before : count) / seconds;
  });
}

const rate = (value: number) => `${bytes(Math.round(value))}/s`;

export function containerCharts(samples: readonly UsageSample[]): Drawn[] {
  const times = samples.map(({ timestamp }) => Date.parse(timestamp) / 1000);
  const latest = samples.at(-1);
  const drawn = (
    name: string,
    colour: string,
    values: readonly (number | null)[],
    tick: (value: number) => string,
    more = '',
    unit: 1 | 1024 = 1,
    words = tick,
  ): Drawn => {
    const value = values.at(-1) ?? null;
    return {
      name,
      colour,
      max: null,
      values,
      tick,
      now: value === null ? UNKNOWN : words(value),
      more,
      unit,
    };
  };
  const grows = (name: string, colour: string, key: CounterKey) => {
    const counts = samples.map((sample) => sample[key]);
    const total = counts.at(-1) ?? null;
    const more = total === null ? '' : `${bytes(total)} in all`;
    return drawn(name, colour, rates(times, counts), rate, more, 1024);
  };
  return [
    drawn(
      'CPU',
      '--turn-0',
      samples.map(({ cpu_percent }) => cpu_percent),
      (value) => `${Math.round(value * 10) / 10} %`,
      '100 % is one core',
      1,
      percent,
    ),
    drawn(
      'Memory',
      '--turn-1',
      samples.map(({ memory_used }) => memory_used),
      (value) => bytes(Math.round(value)),
      latest ? ofLimit(latest) : '',
      1024,
    ),
    grows('Network received', '--turn-4', 'network_rx'),
    grows('Network sent', '--turn-3', 'network_tx'),
    grows('Block read', '--turn-2', 'block_read'),
    grows('Block written', '--turn-7', 'block_write'),
    drawn(
      'Processes',
      '--turn-6',
      samples.map(({ pids }) => pids),
      (value) => String(Math.round(value * 10) / 10),
      '',
      1,
      (value) => plural(value, 'process', 'processes'),
    ),
  ];
}

type CounterKey = 'network_rx' | 'network_tx' | 'block_read' | 'block_write';

function ofLimit({ memory_limit, memory_percent }: UsageSample): string {
  if (memory_limit === null || memory_percent === null) return '';
  return `${percent(memory_percent)} of ${bytes(memory_limit)}`;
}
