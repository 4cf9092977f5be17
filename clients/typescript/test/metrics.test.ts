import { expect, test } from 'vitest';
import { type MetricsEvent, metrics } from '../src/index.ts';
import { at, settle, World } from './world.ts';

const SECOND = 1_000_000_000;

const sample = (second: number) => ({
  timestamp: at(second * SECOND),
  cpu: { usage: 25.5, cores: 4 },
  memory: { used: 1, total: 4, percent: 25 },
  disk: { used: 1, total: 4, percent: 25 },
  docker: { containers_running: null, containers_total: null, images: null },
});

async function follow(history?: number) {
  const world = new World();
  const stream = metrics({ ...world.options, ...(history === undefined ? {} : { history }) });
  const events: MetricsEvent[] = [];
  stream.on('samples', (event) => events.push(event));
  stream.on('reconnected', (event) => events.push(event));
  await settle();
  const times = () =>
    events.flatMap((event) =>
      event.type === 'samples' ? event.samples.map(({ timestamp }) => timestamp) : [],
    );
  return { world, stream, events, times };
}

test('after a loss it asks for what it has missed, and takes each sample once', async () => {
  const { world, stream, times, events } = await follow(60);
  expect(world.socket.query).toEqual({ history: '60' });
  world.socket.accept().say(sample(1), sample(2), sample(3));
  await world.pass(2000);
  world.socket.drop();
  await world.pass(200);
  expect(world.socket.query).toEqual({ history: '5' });
  world.socket.accept().say(sample(2), sample(3), sample(4), sample(5));
  await world.pass(1000);
  expect(times()).toEqual([1, 2, 3, 4, 5].map((second) => at(second * SECOND)));
  expect(events.filter(({ type }) => type === 'reconnected')).toMatchObject([{ missing: 0 }]);
  expect(stream.latest?.timestamp).toBe(at(5 * SECOND));
});

test("a service's clock that is set back stops nothing", async () => {
  const { world, times } = await follow();
  world.socket.accept().say(sample(7200));
  await world.pass(1000);
  world.socket.say(sample(3601));
  await world.pass(1000);
  world.socket.say(sample(3602));
  await world.pass(1000);
  expect(times()).toHaveLength(3);
});

test('five seconds of silence are checked', async () => {
  const { world, stream } = await follow();
  world.socket.accept().say(sample(1));
  await world.pass(8000);
  expect(world.sockets).toHaveLength(2);
  world.socket.accept().say(sample(8));
  expect(world.sockets[0]?.isOpen).toBe(false);
  expect(stream.state).toBe('live');
});

test('what is not a sample is ignored', async () => {
  const { world, times } = await follow();
  world.socket.accept().say({ type: 'stats' }, {}, { timestamp: at(1) }, { ...sample(1), cpu: 5 });
  await world.pass(100);
  expect(times()).toEqual([]);
});
