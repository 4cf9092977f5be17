import { expect, test } from 'vitest';
import { type ContainerStatsEvent, containerStats } from '../src/index.ts';
import { at, settle, status, World } from './world.ts';

const SECOND = 1_000_000_000;

const FIGURES = {
  cpu_percent: 12.5,
  memory_used: 1024,
  memory_limit: 4096,
  memory_percent: 25,
  network_rx: 10,
  network_tx: 20,
  block_read: 30,
  block_write: 40,
  pids: 2,
};
const sample = (second: number, data: object = FIGURES) => ({
  type: 'stats',
  timestamp: at(second * SECOND),
  data,
});

async function follow(options: { appId?: number; container?: string; history?: number }) {
  const world = new World();
  const stream = containerStats({ ...world.options, ...options });
  const events: ContainerStatsEvent[] = [];
  for (const type of ['samples', 'status', 'reconnected', 'end', 'error'] as const) {
    stream.on(type, (event: ContainerStatsEvent) => events.push(event));
  }
  await settle();
  const samples = () => events.flatMap((each) => (each.type === 'samples' ? each.samples : []));
  return { world, stream, events, samples };
}

test('an application or a container is named, with a history', async () => {
  const { world } = await follow({ appId: 3, history: 300 });
  expect(world.socket.query).toEqual({ appId: '3', history: '300' });
  const other = await follow({ container: 'web/1 &x=2' });
  expect(other.world.socket.query).toEqual({ container: 'web/1 &x=2' });
});

test('the state comes first, then samples with their time', async () => {
  const { world, stream, samples, events } = await follow({ appId: 1 });
  world.socket.accept().say(status(), sample(1), sample(2));
  await world.pass(100);
  expect(events[0]).toMatchObject({ type: 'status', data: { state: 'running' } });
  expect(samples()).toEqual([1, 2].map((n) => ({ ...FIGURES, timestamp: at(n * SECOND) })));
  expect(stream.latest).toEqual(samples()[1]);
});

test('after a loss it asks for what it has missed, and takes each sample once', async () => {
  const { world, samples, events } = await follow({ appId: 1, history: 60 });
  world.socket.accept().say(status(), sample(1), sample(2));
  await world.pass(1000);
  world.socket.drop();
  await world.pass(200);
  expect(world.socket.query).toEqual({ appId: '1', history: '4' });
  world.socket.accept().say(status(), sample(1), sample(2), sample(3));
  await world.pass(1000);
  expect(samples().map(({ timestamp }) => timestamp)).toEqual([1, 2, 3].map((n) => at(n * SECOND)));
  expect(events).toContainEqual(expect.objectContaining({ type: 'reconnected', missing: 0 }));
});

test('a figure that is missing or not a number is null', async () => {
  const { world, samples } = await follow({ appId: 1 });
  world.socket.accept().say(sample(1, { cpu_percent: 'much', pids: 0, memory_used: null }));
  await world.pass(100);
  expect(samples()[0]).toMatchObject({ cpu_percent: null, pids: 0, memory_used: null });
  expect(samples()[0]?.block_read).toBeNull();
});

test('a container that stops ends the stream', async () => {
  const { world, stream, events } = await follow({ container: 'web' });
  world.socket.accept().say(status(), sample(1));
  world.socket.say({ type: 'end', timestamp: at(2), data: { message: 'Container stopped' } });
  world.socket.drop(1000);
  await world.pass(1000);
  expect(stream.state).toBe('ended');
  expect(events.at(-1)).toMatchObject({ type: 'end', message: 'Container stopped' });
  expect(world.pending).toBe(0);
});

test.each([
  [{}, 'appId must be a positive integer, not undefined'],
  [{ appId: 0 }, 'appId must be a positive integer, not 0'],
  [{ container: '' }, 'container must be a container\'s name, not ""'],
  [{ appId: 1, container: 'web' }, 'appId and container exclude each other: give one of them'],
  [{ appId: 1, history: -1 }, 'history must be an integer of 0 or more, not -1'],
])('wrong options are named: %j', (options, message) => {
  const { options: world } = new World();
  expect(() => containerStats({ ...world, ...options })).toThrow(new TypeError(message));
});
