import type { LogLine } from '@mist/client';
import { expect, test, vi } from 'vitest';

type Listener = (event: object) => void;
const listeners = new Map<string, Listener>();

vi.mock('../src/lib/api', () => ({
  client: {
    containerLogs: () => ({
      on: (name: string, listener: Listener) => listeners.set(name, listener),
      close: () => {},
    }),
  },
  api: { deployments: async () => [] },
}));
vi.mock('../src/lib/deployments', () => ({ finished: () => true, summary: () => '' }));
vi.stubGlobal('window', globalThis);

const { LogStream } = await import('../src/lib/log/stream.svelte');

function written(count: number, from: number): LogLine[] {
  return Array.from({ length: count }, (_, i) => ({
    time: `${new Date(1.7e12 + from + i).toISOString().slice(0, 23)}000000Z`,
    stream: 'stdout',
    line: `line ${from + i}`,
  }));
}

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
