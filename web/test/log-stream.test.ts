import type { LogLine } from '@mist/client';
import { expect, test, vi } from 'vitest';

type Listener = (event: object) => void;
const listeners = new Map<string, Listener>();
let deployments: object[] = [];

vi.mock('../src/lib/api', () => ({
  client: {
    containerLogs: () => ({
      on: (name: string, listener: Listener) => listeners.set(name, listener),
      close: () => {},
    }),
  },
  api: { deployments: async () => deployments },
}));
vi.mock('../src/lib/deployments', () => ({ finished: () => true, summary: () => '' }));
vi.stubGlobal('window', globalThis);

let workers = 0;
vi.stubGlobal(
  'Worker',
  class {
    constructor() {
      workers += 1;
    }
    terminate() {}
    postMessage() {}
  },
);

const { LogStream } = await import('../src/lib/log/stream.svelte');
const { NO_QUERY } = await import('../src/lib/log/search');

const at = (ms: number) => `${new Date(1.7e12 + ms).toISOString().slice(0, 23)}000000Z`;

function written(count: number, from: number): LogLine[] {
  return Array.from({ length: count }, (_, i) => ({
    time: at(from + i),
    stream: 'stdout',
    line: `line ${from + i}`,
  }));
}

test('however many marks come at once, a search starts again only once', async () => {
  deployments = Array.from({ length: 100 }, (_, id) => {
    return { id, status: 'success', finished_at: at(id * 9 + 5), app_id: 1 };
  });
  const stream = new LogStream([1]);
  stream.view.setQuery({ ...NO_QUERY, terms: ['7.'], regex: true });
  await Promise.resolve();
  const before = workers;
  listeners.get('lines')?.({ lines: written(1000, 0) });
  await vi.waitFor(() => expect(stream.buffer.length).toBe(1100));
  expect(workers - before).toBe(1);
  stream.close();
  deployments = [];
});

test('however many lines come at once to a paused log, each that is held is shown', async () => {
  const stream = new LogStream([1]);
  const say = (lines: LogLine[]) => listeners.get('lines')?.({ lines });
  const { buffer, view } = stream;
  const settled = () => vi.waitFor(() => expect(view.rows.length).toBe(buffer.length));
  say(written(92_000, 0));
  await settled();
  stream.pause(true);
  stream.place = () => 0;
  say(written(9000, 92_000));
  expect(buffer.length).toBeLessThanOrEqual(100_001);
  await settled();
  const orders = (entries: Iterable<{ order: number }>) => [...entries].map(({ order }) => order);
  expect(orders(view.rows.entries())).toEqual(orders(buffer));
  stream.close();
});
