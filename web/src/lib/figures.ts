/** The figures of a host that are drawn. */

import type { MetricsSample as Sample } from '@mist/client';
import { bytes, percent } from './format';

export interface Figure {
  readonly name: string;
  readonly colour: string;
  readonly max: number | null;
  readonly value: (sample: Sample) => number | null;
  /** Format a value for an axis, and the latest value in words. */
  readonly tick: (value: number) => string;
  readonly now: (sample: Sample) => string;
  readonly more: (sample: Sample) => string;
}

const whole = (value: number | null): string => (value === null ? 'unknown' : String(value));

export const FIGURES: readonly Figure[] = [
  {
    name: 'CPU',
    colour: '--turn-0',
    max: 100,
    value: ({ cpu }) => cpu.usage,
    tick: (value) => `${Math.round(value)} %`,
    now: ({ cpu }) => percent(cpu.usage),
    more: ({ cpu }) => (cpu.cores === 1 ? '1 core' : `${cpu.cores} cores`),
  },
  {
    name: 'Memory',
    colour: '--turn-1',
    max: 100,
    value: ({ memory }) => memory.percent,
    tick: (value) => `${Math.round(value)} %`,
    now: ({ memory }) => percent(memory.percent),
    more: ({ memory }) => `${bytes(memory.used)} of ${bytes(memory.total)}`,
  },
  {
    name: 'Disk',
    colour: '--turn-2',
    max: 100,
    value: ({ disk }) => disk.percent,
    tick: (value) => `${Math.round(value)} %`,
    now: ({ disk }) => percent(disk.percent),
    more: ({ disk }) => `${bytes(disk.used)} of ${bytes(disk.total)}`,
  },
  {
    name: 'Containers',
    colour: '--turn-3',
    max: null,
    value: ({ docker }) => docker.containers_running,
    tick: (value) => String(Math.round(value * 10) / 10),
    now: ({ docker }) =>
      docker.containers_running === null
        ? 'unknown'
        : `${docker.containers_running} of ${whole(docker.containers_total)} running`,
    more: ({ docker }) =>
      docker.images === null ? 'the engine is unreachable' : `${docker.images} images`,
  },
];
