import { expect, test } from 'vitest';
import { type DeploymentEvent, deployment } from '../src/index.ts';
import { at, failure, log, settle, World } from './world.ts';

const step = (status: string, progress: number, message = '') => ({
  type: 'status',
  timestamp: at(0),
  data: { deployment_id: 7, status, stage: 'building_image', progress, message, error_message: '' },
});

const RECORDS = [
  step('pending', 0, 'Deployment queued'),
  step('building', 25),
  log(at(1), 'Step 1/2 : FROM busybox'),
  log(at(1), 'same'),
  log(at(1), 'same'),
  step('building', 50),
  log(at(2), 'Step 2/2 : CMD sleep 1'),
  step('deploying', 80),
  step('success', 100),
];

async function follow() {
  const world = new World();
  const stream = deployment({ ...world.options, deploymentId: 7 });
  const events: DeploymentEvent[] = [];
  for (const type of ['status', 'lines', 'reconnected', 'error'] as const) {
    stream.on(type, (event) => events.push(event));
  }
  await settle();
  const lines = () =>
    events.flatMap((event) => (event.type === 'lines' ? event.lines.map(({ line }) => line) : []));
  const progress = () =>
    events.flatMap((event) => (event.type === 'status' ? event.data.progress : []));
  return { world, stream, events, lines, progress };
}

test('wherever it is cut, every record comes once, in order', async () => {
  for (let cut = 0; cut <= RECORDS.length; cut += 1) {
    for (let again = cut; again <= RECORDS.length; again += 1) {
      const { world, stream, lines, progress } = await follow();
      world.socket
        .accept()
        .say(step('pending', 0, 'Waiting'), ...RECORDS.slice(0, cut))
        .drop();
      await world.pass(1000);
      if (cut < RECORDS.length) {
        world.socket
          .accept()
          .say(...RECORDS.slice(0, again))
          .drop();
        await world.pass(1000);
        if (again < RECORDS.length) world.socket.accept().say(...RECORDS);
        await world.pass(1000);
      }
      expect(lines()).toEqual(RECORDS.flatMap(({ data }) => ('line' in data ? data.line : [])));
      expect(progress()).toEqual([0, 0, 25, 50, 80, 100]);
      expect(stream.state).toBe('ended');
      expect(stream.status?.status).toBe('success');
      expect(world.pending).toBe(0);
    }
  }
});

test('one that is over and followed again ends again, with nothing repeated', async () => {
  const { world, stream, lines } = await follow();
  world.socket.accept().say(...RECORDS);
  const before = lines();
  stream.reconnect();
  expect(stream.state).toBe('reconnecting');
  world.socket.accept().say(...RECORDS);
  expect(stream.state).toBe('ended');
  expect(lines()).toEqual(before);
  expect(world.pending).toBe(0);
});

test('a failed deployment ends after its error', async () => {
  const { world, stream, events } = await follow();
  world.socket.accept().say(step('failed', 50));
  expect(stream.state).toBe('live');
  world.socket.drop();
  await world.pass(200);
  world.socket.accept().say(step('failed', 50), failure('Docker build failed: exit code 1'));
  expect(stream.state).toBe('ended');
  expect(events.at(-1)).toMatchObject({
    type: 'error',
    message: 'Docker build failed: exit code 1',
  });
});

test('an id that is not one throws', () => {
  const { options } = new World();
  expect(() => deployment({ ...options, deploymentId: Number.NaN })).toThrow(
    'deploymentId must be a positive integer, not null',
  );
});
