import { expect, test } from 'vitest';
import { type ContainersStreamEvent, containers, createClient } from '../src/index.ts';
import { at, failure, settle, World } from './world.ts';

const WEB = {
  id: 'a1',
  name: 'shop-web-1',
  image: 'nginx:1',
  state: 'running',
  status: 'Up 2 hours (healthy)',
  health: 'healthy',
  created: at(0),
  started: at(1),
  project: 'shop',
  service: 'web',
  app_id: 4,
};
const list = (...all: unknown[]) => ({
  type: 'containers',
  timestamp: at(5),
  data: { containers: all },
});
const stats = (second: number, figures: object) => ({
  type: 'stats',
  timestamp: at(second * 1_000_000_000),
  data: { stats: figures },
});

async function follow() {
  const world = new World();
  const stream = containers(world.options);
  const events: ContainersStreamEvent[] = [];
  for (const type of ['containers', 'samples', 'error'] as const) {
    stream.on(type, (event: ContainersStreamEvent) => events.push(event));
  }
  await settle();
  world.socket.accept();
  return { world, stream, events };
}

test('the list comes at once and after every change', async () => {
  const { world, stream, events } = await follow();
  expect(world.socket.url).toBe('wss://mist.example/sub/ws/containers');
  world.socket.say(list(WEB));
  expect(stream.containers).toEqual([WEB]);
  world.socket.say(list(WEB, { ...WEB, id: 'b2', name: 'other', app_id: null }), list());
  expect(events.map((each) => each.type === 'containers' && each.containers.length)).toEqual([
    1, 2, 0,
  ]);
  expect(stream.containers).toEqual([]);
});

test('figures come by id, after the list that names it', async () => {
  const { world, events } = await follow();
  world.socket.say(list(WEB), stats(1, { a1: { cpu_percent: 3 } }), stats(2, {}));
  await world.pass(100);
  expect(events.map(({ type }) => type)).toEqual(['containers', 'samples']);
  expect(events[1]).toMatchObject({
    samples: [{ timestamp: at(1e9), stats: { a1: { cpu_percent: 3, pids: null } } }, { stats: {} }],
  });
});

test('what is missing is empty, and what is no container is left out', async () => {
  const { world, stream } = await follow();
  world.socket.say(list({ id: 'a', name: 'b' }, null, 7, { name: 'no id' }), {
    type: 'containers',
    data: { containers: 'none' },
  });
  expect(stream.containers).toMatchObject([
    { id: 'a', name: 'b', image: '', state: '', health: null, project: null, app_id: null },
  ]);
});

test('a new connection brings the list anew', async () => {
  const { world, stream } = await follow();
  world.socket.say(list(WEB));
  world.socket.drop();
  await world.pass(1000);
  world.socket.accept().say(list());
  expect(stream.containers).toEqual([]);
  expect(stream.state).toBe('live');
});

test('who is not an admin learns why, and nothing is tried again', async () => {
  const { world, stream } = await follow();
  world.socket.say(failure('Permission denied'));
  world.socket.drop(4403);
  await world.pass(60_000);
  expect(stream.state).toBe('failed');
  expect(stream.reason).toMatchObject({ code: 'forbidden', message: 'Permission denied' });
  expect(world.sockets).toHaveLength(1);
});

test('close leaves no socket and no timer', async () => {
  const { world, stream } = await follow();
  world.socket.say(list(WEB), stats(1, {}));
  stream.close();
  await world.pass(1000);
  expect(world.pending).toBe(0);
  expect(world.socket.isOpen).toBe(false);
});

test('a client has both streams, with its address', async () => {
  const world = new World();
  const client = createClient({ url: 'https://mist.example/sub', WebSocket: world.WebSocket });
  const streams = [client.containers(), client.containerStats({ container: 'web' })];
  await settle();
  expect(world.sockets.map(({ url }) => url)).toEqual([
    'wss://mist.example/sub/ws/containers',
    'wss://mist.example/sub/ws/container/stats?container=web',
  ]);
  for (const each of streams) each.close();
});
