import { expect, test } from 'vitest';
import { type ContainerLogsEvent, type ContainerLogsOptions, containerLogs } from '../src/index.ts';
import { at, failure, log, settle, skipped, status, World } from './world.ts';

function follow(world: World, options: Partial<ContainerLogsOptions> = {}) {
  const logs = containerLogs({ ...world.options, appId: 1, ...options });
  const events: ContainerLogsEvent[] = [];
  for (const type of [
    'open',
    'state',
    'status',
    'lines',
    'skipped',
    'reconnected',
    'error',
    'end',
  ] as const) {
    logs.on(type, (event) => events.push(event));
  }
  const lines = () =>
    events.flatMap((event) => (event.type === 'lines' ? event.lines.map(({ line }) => line) : []));
  const of = (type: string) => events.filter((event) => event.type === type);
  return { logs, events, lines, of };
}

/** A stream that is live and has the lines `0` and `1`. */
async function live(options: Partial<ContainerLogsOptions> = {}) {
  const world = new World();
  const stream = follow(world, options);
  await settle();
  world.socket.accept().say(status(), log(at(0), '0'), log(at(1_000_000_000), '1'));
  await world.pass(1100);
  return { world, ...stream };
}

test('it connects below the path of the address, with what is asked for', async () => {
  const world = new World();
  const { logs } = follow(world, { tail: 5, stopped: true });
  expect(world.sockets).toHaveLength(0);
  await settle();
  expect(world.socket.url).toBe(
    'wss://mist.example/sub/ws/container/logs?appId=1&tail=5&stopped=1&pos=1',
  );
  expect(logs.state).toBe('connecting');
});

test('lines come in batches, other events in their place between them', async () => {
  const { events } = await live();
  const types = events.map((event) => (event.type === 'state' ? event.state : event.type));
  expect(types).toEqual(['open', 'live', 'status', 'lines']);
});

test('what it does not know it ignores', async () => {
  const { world, logs, lines, events } = await live();
  const before = events.length;
  world.socket.say(
    'not JSON',
    'null',
    '3',
    '[]',
    '{}',
    { type: 'stats', data: {} },
    { type: 'log' },
    { type: 'log', data: null },
    { type: 'log', timestamp: 5, data: { line: 7 } },
    { type: 7, data: 'x' },
  );
  world.socket.say(log(at(2_000_000_000), '2'));
  await world.pass(100);
  expect(logs.state).toBe('live');
  expect(lines()).toEqual(['0', '1', '2']);
  expect(events.slice(before).map(({ type }) => type)).toEqual(['lines']);
});

test('after a loss it resumes before the last line, drops what it has, and says that nothing is missing', async () => {
  const { world, logs, lines, of, events } = await live();
  world.socket.drop();
  expect(logs.state).toBe('reconnecting');
  expect(of('state').at(-1)).toMatchObject({ retryIn: 150, reason: { code: 'network' } });
  await world.pass(200);
  expect(world.socket.query).toEqual({ appId: '1', since: at(0), stopped: '1', pos: '1' });
  world.socket.accept().say(status(), log(at(1_000_000_000), '1'), log(at(1_000_000_000), 'twin'));
  await world.pass(100);
  expect(lines()).toEqual(['0', '1', 'twin']);
  expect(of('reconnected')).toEqual([
    { type: 'reconnected', missing: 0, exact: true, downtime: 200 },
  ]);
  expect(events.slice(-3).map(({ type }) => type)).toEqual(['status', 'reconnected', 'lines']);
});

/** A stream that is live and has two lines of one time, with positions. */
async function placed() {
  const world = new World();
  const stream = follow(world);
  await settle();
  world.socket.accept().say(status(), log(at(5), 'a', 'p7.3'), log(at(5), 'a', 'p7.4'));
  await world.pass(1100);
  world.socket.drop();
  await world.pass(200);
  return { world, ...stream };
}

test('with positions it resumes exactly, among lines of one time and behind later ones', async () => {
  const { world, lines, of } = await placed();
  expect(world.socket.query).toEqual({ appId: '1', since: 'p7.4', stopped: '1', pos: '1' });
  world.socket.accept().say(status(), log(at(5), 'a', 'p7.5'), log(at(1), 'b', 'p7.6'));
  await world.pass(10);
  expect(lines()).toEqual(['a', 'a', 'a', 'b']);
  expect(of('reconnected')).toMatchObject([{ missing: 0, exact: true }]);
  expect(of('skipped')).toEqual([]);
});

test('with positions the number of missing lines is the one of the service', async () => {
  const { world, lines, of } = await placed();
  world.socket.accept().say(status(), skipped(41), log(at(5), 'a', 'p7.2f'));
  await world.pass(10);
  expect(lines()).toEqual(['a', 'a', 'a']);
  expect(of('reconnected')).toMatchObject([{ missing: 41, exact: true }]);
  expect(of('skipped')).toMatchObject([{ lines: 41, exact: true, reason: 'forgotten' }]);
});

test('a position that the service does not know any more repeats nothing', async () => {
  const { world, lines, of } = await placed();
  const all = ['z', 'a', 'a', 'b'].map((text, index) => log(at(5), text, `p9.${index + 1}`));
  world.socket.accept().say(status(), skipped(1), ...all);
  await world.pass(10);
  expect(lines()).toEqual(['a', 'a', 'b']);
  expect(of('reconnected')).toMatchObject([{ missing: 0, exact: true }]);
  world.socket.drop();
  await world.pass(500);
  expect(world.socket.query.since).toBe('p9.4');
});

test('a check that takes over drops the lines that came meanwhile', async () => {
  const world = new World();
  const { lines, of } = follow(world);
  await settle();
  const first = world.socket.accept().say(status(), log(at(5), '0', 'p7.3'));
  await world.pass(36_000);
  expect(world.socket.query.since).toBe('p7.3');
  const check = world.socket.accept();
  first.say(log(at(5), '1', 'p7.4'));
  await world.pass(10);
  if (check.isOpen) check.say(status(), log(at(5), '1', 'p7.4'), log(at(5), '2', 'p7.5'));
  else first.say(log(at(5), '2', 'p7.5'));
  await world.pass(1100);
  expect(lines()).toEqual(['0', '1', '2']);
  expect(of('skipped')).toEqual([]);
});

test('what the service does not remember any more is told with its number', async () => {
  const { world, of, lines } = await live();
  world.socket.drop();
  await world.pass(200);
  world.socket.accept().say(status(), skipped(41), log(at(9_000_000_000), 'later'));
  await world.pass(100);
  expect(of('reconnected')).toMatchObject([{ missing: 40, exact: true }]);
  expect(of('skipped')).toMatchObject([{ lines: 40, exact: true, reason: 'forgotten' }]);
  expect(lines()).toEqual(['0', '1', 'later']);
});

test('a gap in the midst of a stream is passed on as it is', async () => {
  const { world, of } = await live();
  world.socket.say(skipped(1532));
  expect(of('skipped')).toMatchObject([{ lines: 1532, exact: true, reason: 'slow' }]);
});

test('a gap without a number is one all the same', async () => {
  const { world, of } = await live();
  world.socket.say(
    { type: 'skipped' },
    { type: 'skipped', data: { lines: 'many', reason: 'rotated' } },
  );
  expect(of('skipped')).toMatchObject([
    { lines: 1, exact: false, reason: 'slow' },
    { lines: 1, exact: false, reason: 'rotated' },
  ]);
});

test('a container without new lines is resumed without one', async () => {
  const { world, of, lines } = await live();
  world.socket.drop();
  await world.pass(200);
  world.socket.accept().say(status());
  await world.pass(1100);
  expect(of('reconnected')).toMatchObject([{ missing: 0, exact: false }]);
  expect(lines()).toEqual(['0', '1']);
});

test.each([1, 2, 3])(
  'a log that was empty is resumed from its beginning, drop %i',
  async (drops) => {
    const world = new World();
    const { of, lines } = follow(world, { tail: 10 });
    await settle();
    for (let drop = 0; drop < drops; drop += 1) {
      world.socket.accept().say(status());
      await world.pass(1500);
      world.socket.drop();
      await world.pass(200);
      expect(world.socket.query.since).toBe('0001-01-01T00:00:00Z');
    }
    world.socket.accept().say(status(), log(at(5), 'first'));
    await world.pass(100);
    expect(of('reconnected')).toMatchObject(Array(drops).fill({ missing: 0, exact: true }));
    expect(lines()).toEqual(['first']);
  },
);

test('without earlier lines it is resumed from the time of its first connection', async () => {
  const world = new World();
  follow(world, { tail: 0 });
  await settle();
  for (const clock of [0, 1, 2]) {
    world.socket.accept().say({ ...status(), timestamp: at(clock) });
    world.socket.drop();
    await world.pass(1000);
    expect(world.socket.query).toEqual({ appId: '1', since: at(0), stopped: '1', pos: '1' });
  }
});

test('a connection that broke before the tail came asks for the tail again', async () => {
  const world = new World();
  follow(world, { tail: 10 });
  await settle();
  world.socket.accept().say(status()).drop();
  await world.pass(200);
  expect(world.socket.query).toEqual({ appId: '1', tail: '10', stopped: '1', pos: '1' });
});

test('a container that stopped meanwhile gives its last lines before the error', async () => {
  const { world, logs, lines, of } = await placed();
  expect(world.socket.query.stopped).toBe('1');
  const last = log(at(6), 'last', 'p7.5');
  const error = failure('Container is not running (state: exited)');
  world.socket.accept().say(status('exited'), last, error).drop(4409);
  expect(lines()).toEqual(['a', 'a', 'last']);
  expect(of('reconnected')).toMatchObject([{ missing: 0, exact: true }]);
  expect(logs.reason).toMatchObject({ code: 'not-running' });
});

test('an error before the first status requests no more than at first', async () => {
  const world = new World();
  follow(world, { tail: 10 });
  await settle();
  world.socket.accept().say(failure('Docker Engine is unreachable')).drop(1013);
  await world.pass(3000);
  expect(world.socket.query).toEqual({ appId: '1', tail: '10', pos: '1' });
});

test('while resuming, a second loss repeats and loses nothing', async () => {
  const { world, lines, of } = await live();
  world.socket.drop();
  await world.pass(200);
  // Within the second that both connections overlap: not known to be new yet.
  world.socket
    .accept()
    .say(status(), log(at(1_500_000_000), '2'))
    .drop();
  await world.pass(400);
  world.socket
    .accept()
    .say(
      status(),
      log(at(1_000_000_000), '1'),
      log(at(1_500_000_000), '2'),
      log(at(1_600_000_000), '3'),
    );
  await world.pass(100);
  expect(lines()).toEqual(['0', '1', '2', '3']);
  expect(of('reconnected')).toHaveLength(1);
});

test.each([
  [4401, 'Session expired', 'unauthorized'],
  [4403, 'Permission denied', 'forbidden'],
  [4404, 'Container not found', 'not-found'],
  [4409, 'Container is not running (state: exited)', 'not-running'],
  [4410, "it is 'none', and the Docker Engine can read json-file", 'unreadable'],
])('close code %i ends it, with the words of the service', async (closeCode, message, code) => {
  const { world, logs, of } = await live();
  world.socket.say(failure(message)).drop(closeCode);
  expect(logs.state).toBe('failed');
  expect(logs.reason).toEqual({ code, message, closeCode });
  expect(of('error')).toMatchObject([{ message }]);
  await expect(logs.closed).resolves.toMatchObject({ code });
  expect(world.pending).toBe(0);
});

test('an error alone does not make it live', async () => {
  const world = new World();
  const { logs, of } = follow(world);
  await settle();
  world.socket.accept().say(failure('Docker Engine is unreachable')).drop(1013);
  expect(logs.state).toBe('connecting');
  expect(logs.reason).toMatchObject({
    code: 'unavailable',
    message: 'Docker Engine is unreachable',
  });
  expect(of('state').map((event) => event.type === 'state' && event.state)).toEqual(['connecting']);
});

test('the end of the container ends it, and reconnect goes on behind its last line', async () => {
  const { world, logs, lines, of } = await live();
  world.socket.say({ type: 'end', timestamp: at(0), data: { message: 'Log stream ended' } });
  expect(of('end')).toHaveLength(1);
  expect(logs.state).toBe('ended');
  expect(world.pending).toBe(0);
  logs.reconnect();
  expect(logs.state).toBe('reconnecting');
  expect(world.socket.query.since).toBe(at(0));
  world.socket.accept().say(status(), log(at(1_000_000_000), '1'), log(at(3_000_000_000), '2'));
  await world.pass(100);
  expect(logs.state).toBe('live');
  expect(lines()).toEqual(['0', '1', '2']);
});

test('a reload is answered at once, spread by chance; then pauses grow', async () => {
  const { world, of } = await live();
  world.chance = 0.02;
  world.socket.drop(1012);
  expect(of('state').at(-1)).toMatchObject({ retryIn: 10, reason: { code: 'restarting' } });
  await world.pass(10);
  expect(world.sockets).toHaveLength(2);
});

test('a handshake that is refused without a session fails', async () => {
  const world = new World();
  world.httpStatus = 401;
  const { logs } = follow(world);
  await settle();
  world.socket.drop();
  await settle();
  expect(logs.state).toBe('failed');
  expect(logs.reason).toMatchObject({ code: 'unauthorized' });
  expect(world.pending).toBe(0);
});

test.each([0, 500, 502])('with HTTP status %i it keeps trying', async (httpStatus) => {
  const world = new World();
  world.httpStatus = httpStatus;
  const { logs } = follow(world);
  await settle();
  world.socket.drop();
  await world.pass(60_000);
  expect(logs.state).toBe('connecting');
  expect(logs.reason).toMatchObject({ code: 'network', message: 'The connection was lost' });
});

test('a WebSocket that is refused by something in between is explained', async () => {
  const world = new World();
  world.httpStatus = 200;
  const { logs } = follow(world);
  await settle();
  world.socket.drop();
  await settle();
  expect(logs.state).toBe('connecting');
  expect(logs.reason?.message).toContain('refuses the WebSocket');
});

test('a handshake without an answer is given up', async () => {
  const world = new World();
  follow(world);
  await world.pass(15_500);
  expect(world.sockets).toHaveLength(2);
  expect(world.sockets[0]?.isOpen).toBe(false);
});

test('a quiet connection is checked by a second one, which takes over unseen', async () => {
  const { world, logs, lines, of, events } = await live();
  const [first] = world.sockets;
  await world.pass(36_000);
  expect(world.sockets).toHaveLength(2);
  expect(first?.isOpen).toBe(true);
  const before = events.length;
  world.socket.accept().say(status(), log(at(1_000_000_000), '1'));
  await world.pass(100);
  expect(first?.isOpen).toBe(false);
  expect(logs.state).toBe('live');
  expect(events.slice(before).map(({ type }) => type)).toEqual(['status']);
  world.socket.say(log(at(2_000_000_000), '2'));
  await world.pass(100);
  expect(lines()).toEqual(['0', '1', '2']);
  expect(of('reconnected')).toEqual([]);
});

test('checks of a connection that is well become rarer', async () => {
  const { world } = await live();
  const opened: number[] = [];
  for (let second = 0; second < 300; second += 1) {
    await world.pass(1000);
    if (world.socket.readyState === 0) {
      opened.push(second);
      world.socket.accept().say(status(), log(at(1_000_000_000), '1'));
    }
  }
  const pauses = opened.slice(1).map((second, index) => second - (opened[index] ?? 0));
  expect(pauses[0]).toBeGreaterThanOrEqual(59);
  expect(pauses[1]).toBeGreaterThanOrEqual(119);
});

test('a line on the first connection makes the check needless', async () => {
  const { world, lines } = await live();
  const [first] = world.sockets;
  await world.pass(36_000);
  first?.say(log(at(2_000_000_000), '2'));
  await world.pass(100);
  expect(world.socket.isOpen).toBe(false);
  expect(first?.isOpen).toBe(true);
  expect(lines()).toEqual(['0', '1', '2']);
});

test('a connection that cannot be checked is dead, and what it missed follows', async () => {
  const { world, logs, lines, of } = await live();
  const [first] = world.sockets;
  await world.pass(36_000);
  world.socket.drop();
  expect(first?.isOpen).toBe(false);
  expect(logs.state).toBe('reconnecting');
  expect(logs.reason).toMatchObject({ code: 'silent' });
  await world.pass(200);
  world.socket
    .accept()
    .say(status(), log(at(1_000_000_000), '1'), log(at(7_000_000_000), 'missed'));
  await world.pass(100);
  expect(lines()).toEqual(['0', '1', 'missed']);
  expect(of('reconnected')).toHaveLength(1);
});

test('a check that finds the service full says nothing about the connection', async () => {
  const { world, logs } = await live();
  await world.pass(36_000);
  world.socket.accept().say(failure('Too many clients')).drop(1013);
  expect(logs.state).toBe('live');
  expect(world.sockets[0]?.isOpen).toBe(true);
});

test('a check that finds no answer in time is a failed one', async () => {
  const { world, logs } = await live();
  await world.pass(36_000);
  world.socket.accept();
  await world.pass(20_500);
  expect(logs.state).toBe('reconnecting');
});

test('after a sleep the connection is checked at once, whatever the pause was', async () => {
  const { world } = await live();
  for (let turn = 0; turn < 3; turn += 1) {
    await world.pass(121_000);
    if (world.socket.readyState === 0)
      world.socket.accept().say(status(), log(at(1_000_000_000), '1'));
  }
  const before = world.sockets.length;
  await world.pass(6000);
  expect(world.sockets).toHaveLength(before);
  await world.sleep(90_000);
  await world.pass(5000);
  expect(world.sockets).toHaveLength(before + 1);
});

test('a network that is back is tried at once', async () => {
  const { world } = await live();
  world.socket.drop();
  for (let attempt = 0; attempt < 12; attempt += 1) {
    await world.pass(10_000);
    world.socket.drop();
  }
  const before = world.sockets.length;
  world.wake();
  expect(world.sockets).toHaveLength(before + 1);
});

test('a page that becomes visible checks a connection, but not one that has just spoken', async () => {
  const { world } = await live();
  world.socket.say(log(at(2_000_000_000), '2'));
  world.wake();
  expect(world.sockets).toHaveLength(1);
  await world.pass(3000);
  world.wake();
  expect(world.sockets).toHaveLength(2);
});

test('a clock that is set back an hour does not switch the checks off', async () => {
  const { world } = await live();
  await world.setClock(-3_600_000);
  await world.pass(41_000);
  expect(world.sockets).toHaveLength(2);
});

test('pauses stay short where connections were good, and grow where they were not', async () => {
  const { world, of } = await live();
  const pauses = () =>
    of('state').flatMap((event) => (event.type === 'state' && event.retryIn) || []);
  for (let turn = 0; turn < 3; turn += 1) {
    world.socket.drop();
    await world.pass(200);
    world.socket.accept().say(status());
    await world.pass(2000);
  }
  expect(pauses()).toEqual([150, 150, 150]);
  for (let turn = 0; turn < 3; turn += 1) {
    world.socket.drop();
    await world.pass(1000);
    world.socket.accept().say(status());
  }
  expect(pauses().slice(3)).toEqual([150, 225, 337.5]);
});

test.each(['connecting', 'open', 'live', 'reconnecting', 'checking'])(
  'a signal ends it while %s, and nothing is left',
  async (when) => {
    const world = new World();
    const abort = new AbortController();
    const { logs } = follow(world, { signal: abort.signal });
    await settle();
    if (when !== 'connecting') world.socket.accept();
    if (when !== 'connecting' && when !== 'open') world.socket.say(status(), log(at(0), '0'));
    if (when === 'reconnecting') world.socket.drop();
    if (when === 'checking') await world.pass(36_000);
    abort.abort();
    expect(logs.state).toBe('ended');
    expect(logs.reason?.code).toBe('closed');
    expect(world.sockets.filter(({ isOpen }) => isOpen)).toEqual([]);
    expect(world.pending).toBe(0);
    logs.reconnect();
    expect(logs.state).toBe('ended');
    await expect(logs.closed).resolves.toMatchObject({ code: 'closed' });
  },
);

test('a signal that was aborted before opens nothing', async () => {
  const world = new World();
  const { logs } = follow(world, { signal: AbortSignal.abort() });
  await settle();
  expect(world.sockets).toEqual([]);
  expect(logs.state).toBe('ended');
});

test('a listener may close the stream, whatever it hears', async () => {
  for (const type of ['open', 'state', 'status', 'lines'] as const) {
    const world = new World();
    const { logs } = follow(world);
    logs.on(type, () => logs.close());
    await settle();
    world.socket.accept().say(status(), log(at(0), '0'));
    await world.pass(100);
    expect(logs.state).toBe('ended');
    expect(world.pending).toBe(0);
  }
});

test('a constructor that throws fails the stream with its words', async () => {
  const world = new World();
  const logs = containerLogs({
    ...world.options,
    appId: 1,
    WebSocket: class {
      constructor() {
        throw new SyntaxError('The URL is not allowed');
      }
    } as never,
  });
  await expect(logs.closed).resolves.toEqual({
    code: 'refused',
    message: 'The URL is not allowed',
  });
  expect(logs.state).toBe('failed');
});

test.each([
  [{ appId: 0 }, 'appId must be a positive integer, not 0'],
  [{ appId: 1.5 }, 'appId must be a positive integer, not 1.5'],
  [{ appId: '1' }, 'appId must be a positive integer, not "1"'],
  [{ appId: undefined }, 'appId must be a positive integer, not undefined'],
  [{ tail: -1 }, 'tail must be an integer of 0 or more, not -1'],
  [{ url: undefined }, 'url is missing'],
  [{ url: 'mist' }, 'url must be an http or https address, not "mist"'],
  [{ url: 'ftp://mist' }, 'url must be an http or https address, not "ftp://mist"'],
])('%o: %s', (wrong, message) => {
  const world = new World();
  const options = { ...world.options, appId: 1, ...wrong } as ContainerLogsOptions;
  expect(() => containerLogs(options)).toThrow(message);
});

test('events can be iterated over, until the stream is over', async () => {
  const world = new World();
  const { logs } = follow(world);
  const events = logs[Symbol.asyncIterator]();
  await settle();
  world.socket.accept().say(status(), log(at(0), '0'));
  await world.pass(100);
  logs.close();
  const types: string[] = [];
  for await (const event of { [Symbol.asyncIterator]: () => events }) types.push(event.type);
  expect(types).toEqual(['open', 'state', 'status', 'lines', 'state']);
});

test('lines can be iterated over one by one, and a failure is thrown', async () => {
  const { world, logs } = await live();
  const got: string[] = [];
  const reading = (async () => {
    for await (const { line } of logs.lines()) got.push(line);
  })();
  world.socket.say(log(at(2_000_000_000), '2'), log(at(2_000_000_000), '3'));
  world.socket.say(failure('Permission denied')).drop(4403);
  await expect(reading).rejects.toMatchObject({
    name: 'StreamError',
    message: 'Permission denied',
    reason: { code: 'forbidden' },
  });
  expect(got).toEqual(['2', '3']);
});

test('an iteration that is too slow loses the oldest lines and is told how many', async () => {
  const { world, logs } = await live({ buffer: 100 });
  const events = logs[Symbol.asyncIterator]();
  for (let n = 2; n < 502; n += 1) {
    world.socket.say(log(at(n * 1_000_000_000), `${n}`));
    await world.pass(1);
  }
  logs.close();
  let skippedLines = 0;
  const got: number[] = [];
  for await (const event of { [Symbol.asyncIterator]: () => events }) {
    if (event.type === 'skipped') skippedLines += event.lines;
    if (event.type === 'lines') got.push(...event.lines.map(({ line }) => Number(line)));
  }
  expect(got.length).toBeLessThanOrEqual(100);
  expect(got.at(-1)).toBe(501);
  expect(skippedLines + got.length).toBe(500);
  expect(got).toEqual(Array.from(got, (_, index) => (got[0] ?? 0) + index));
});

test('an iteration that is left ends, and the stream goes on', async () => {
  const { world, logs, lines } = await live();
  const reading = (async () => {
    for await (const event of logs) if (event.type === 'lines') return event.lines;
    return [];
  })();
  world.socket.say(log(at(2_000_000_000), '2'));
  await world.pass(100);
  expect(await reading).toHaveLength(1);
  world.socket.say(log(at(3_000_000_000), '3'));
  await world.pass(100);
  expect(logs.state).toBe('live');
  expect(lines()).toEqual(['0', '1', '2', '3']);
});

test('what a listener throws reaches neither the stream nor other listeners', async () => {
  const { world, logs, lines } = await live();
  const uncaught: unknown[] = [];
  const note = (error: unknown) => uncaught.push(error);
  process.on('uncaughtException', note);
  logs.on('lines', () => {
    throw new Error('mine');
  });
  world.socket.say(log(at(2_000_000_000), '2'));
  await world.pass(100);
  await new Promise((resolve) => setTimeout(resolve, 10));
  process.off('uncaughtException', note);
  expect(uncaught).toMatchObject([{ message: 'mine' }]);
  expect(lines()).toEqual(['0', '1', '2']);
});
