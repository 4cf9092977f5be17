import type { HostContainer } from '@mist/client';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { App } from '../src/lib/api';
import {
  type Arrangement,
  appFor,
  arrange,
  compare,
  containerFor,
  fits,
} from '../src/lib/host-containers';
import { grown, type Trend } from '../src/lib/trend';

const container = (name: string, more: Partial<HostContainer> = {}): HostContainer => ({
  id: `id-${name}`,
  name,
  image: 'busybox',
  state: 'running',
  status: 'Up 2 hours',
  health: null,
  created: null,
  started: null,
  project: null,
  service: null,
  app_id: null,
  ...more,
});
const app = (id: number, name: string) => ({ id, name, container: name }) as App;

const PLAIN: Arrangement = {
  words: '',
  sort: 'name',
  descending: false,
  trendOf: () => undefined,
};

function shown(list: readonly HostContainer[], more: Partial<Arrangement> = {}) {
  const rows = list.map((each) => ({ container: each, app: undefined }));
  const groups = arrange(rows, { ...PLAIN, ...more });
  return groups.map(({ project, rows }) => [project, ...rows.map((row) => row.container.name)]);
}

describe('the table of containers', () => {
  test('is grouped by project, those without one last', () => {
    const list = [
      container('z'),
      container('b-10', { project: 'b' }),
      container('b-9', { project: 'b' }),
      container('a-1', { project: 'A' }),
    ];
    expect(shown(list)).toEqual([
      ['A', 'a-1'],
      ['b', 'b-9', 'b-10'],
      [null, 'z'],
    ]);
    expect(shown(list, { descending: true })[1]).toEqual(['b', 'b-10', 'b-9']);
  });

  test('counts what runs', () => {
    const rows = [container('a'), container('b', { state: 'exited' })];
    const [group] = arrange(
      rows.map((each) => ({ container: each, app: undefined })),
      PLAIN,
    );
    expect(group?.running).toBe(1);
  });

  test('is filtered by all words, in every column', () => {
    const list = [
      container('web', { image: 'nginx:1.27', project: 'shop' }),
      container('db', { state: 'exited', project: 'shop', service: 'postgres' }),
      container('cron', { health: 'unhealthy' }),
    ];
    const names = (words: string) => shown(list, { words }).flatMap(([, ...found]) => found);
    expect(names('SHOP nginx')).toEqual(['web']);
    expect(names('exited')).toEqual(['db']);
    expect(names('post shop')).toEqual(['db']);
    expect(names('unhealthy')).toEqual(['cron']);
    expect(names('shop nothing')).toEqual([]);
    expect(names('  ')).toEqual(['db', 'web', 'cron']);
  });

  test('is sorted by use, what is unknown last in either direction', () => {
    const usage = (cpu_percent: number) => grown(undefined, 1, { cpu_percent } as Trend['latest']);
    const trends = new Map([
      ['id-busy', usage(80)],
      ['id-idle', usage(1)],
    ]);
    const list = [container('stopped'), container('idle'), container('busy')];
    const trendOf = (id: string) => trends.get(id);
    const by = (descending: boolean) => shown(list, { sort: 'cpu', descending, trendOf })[0];
    expect(by(false)).toEqual([null, 'idle', 'busy', 'stopped']);
    expect(by(true)).toEqual([null, 'busy', 'idle', 'stopped']);
  });
});

test('a container finds its application, and the other way round', () => {
  const apps = [app(1, 'web'), app(2, 'db')];
  expect(appFor(container('other', { app_id: 2 }), apps)?.id).toBe(2);
  expect(appFor(container('web'), apps)?.id).toBe(1);
  expect(appFor(container('cron'), apps)).toBeUndefined();
  const list = [container('web'), container('renamed', { app_id: 2 })];
  expect(containerFor(apps[1] as App, list)?.name).toBe('renamed');
  expect(containerFor(app(3, 'none'), list)).toBeUndefined();
});

test('keys of rows have one order', () => {
  const key = fc.oneof(fc.constant(null), fc.integer({ min: 0, max: 9 }));
  fc.assert(
    fc.property(key, key, key, fc.boolean(), (a, b, c, descending) => {
      expect(Math.abs(compare(a, b, descending) + compare(b, a, descending))).toBe(0);
      if (compare(a, b, descending) <= 0 && compare(b, c, descending) <= 0) {
        expect(compare(a, c, descending)).toBeLessThanOrEqual(0);
      }
    }),
  );
});

test('words fit in any order and case', () => {
  expect(fits('Shop web', 'WEB sho')).toBe(true);
  expect(fits('Shop web', 'web x')).toBe(false);
});
