import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { createClient, type LogLine, type OlderLines } from '../src/index.ts';

let server: Server | undefined;

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function serving(listener: RequestListener): Promise<string> {
  server = createServer(listener);
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const time = '2025-01-15T10:30:00.000000001Z';
const log = (line: string, stream = 'stdout') =>
  `${JSON.stringify({ type: 'log', timestamp: time, data: { line, stream } })}\n`;
const end = (data: object) => `${JSON.stringify({ type: 'end', timestamp: time, data })}\n`;

async function all(answer: OlderLines): Promise<LogLine[]> {
  const found: LogLine[] = [];
  for await (const lines of answer) found.push(...lines);
  return found;
}

test('the lines and the final record, whatever the chunks are', async () => {
  const body = log('one ✓') + log('two', 'stderr') + end({ lines: 9, matched: 2, complete: true });
  const asked: string[] = [];
  const url = await serving(async ({ url }, response) => {
    asked.push(String(url));
    for (const byte of Buffer.from(body)) response.write(Buffer.of(byte));
    response.end();
  });
  const answer = await createClient({ url }).olderLines({
    appId: 3,
    until: time,
    order: 'desc',
    q: 'a b',
    case: true,
    regex: false,
  });
  expect(answer.end).toBeNull();
  expect(await all(answer)).toEqual([
    { time, stream: 'stdout', line: 'one ✓' },
    { time, stream: 'stderr', line: 'two' },
  ]);
  const reached = '';
  expect(answer.end).toEqual({ lines: 9, matched: 2, complete: true, reached, message: '' });
  expect(asked).toEqual([
    `/api/apps/3/logs?until=${encodeURIComponent(time)}&order=desc&q=a+b&case=1`,
  ]);
});

test('the starts and ends of the container, apart from the lines', async () => {
  const data = { container: 'web', state: 'running', status: 'Restarted' };
  const status = `${JSON.stringify({ type: 'status', timestamp: time, data })}\n`;
  const other = `${JSON.stringify({ type: 'later', timestamp: time, data: {} })}\n`;
  const asked: string[] = [];
  const url = await serving(({ url }, response) => {
    asked.push(String(url));
    response.end(log('one') + status + other + log('two') + end({ complete: true }));
  });
  const answer = await createClient({ url }).olderLines({
    appId: 3,
    status: true,
    seam: true,
  });
  expect((await all(answer)).map(({ line }) => line)).toEqual(['one', 'two']);
  expect(answer.changes).toEqual([{ type: 'status', time, data }]);
  expect(asked).toEqual(['/api/apps/3/logs?status=1&seam=1']);
});

test('a container is named in the path', async () => {
  const asked: string[] = [];
  const url = await serving(({ url }, response) => {
    asked.push(String(url));
    response.end(end({ complete: true }));
  });
  expect(await all(await createClient({ url }).olderLines({ container: 'a/b' }))).toEqual([]);
  expect(asked).toEqual(['/api/containers/a%2Fb/logs']);
});

test('an answer that is broken off is an error, after its lines', async () => {
  const url = await serving((_, response) => {
    response.write(log('one'));
    response.write('{"type":"lo');
    setTimeout(() => response.destroy(), 20);
  });
  const answer = await createClient({ url }).olderLines({ appId: 1 });
  const found: LogLine[] = [];
  const read = async () => {
    for await (const lines of answer) found.push(...lines);
  };
  await expect(read()).rejects.toMatchObject({ name: 'ApiError', status: 0 });
  expect(found.map(({ line }) => line)).toEqual(['one']);
});

test('a body without the final record is an error', async () => {
  const url = await serving((_, response) => response.end(log('one')));
  const answer = await createClient({ url }).olderLines({ appId: 1 });
  await expect(all(answer)).rejects.toThrow('broken off');
});

test('a refusal says why and how long to wait', async () => {
  const body = '{"success":false,"message":"4 readers are running","data":null}';
  const url = await serving((_, response) =>
    response.writeHead(429, { 'Retry-After': '2' }).end(body),
  );
  await expect(createClient({ url }).olderLines({ appId: 1 })).rejects.toMatchObject({
    status: 429,
    retryAfter: 2,
    message: '4 readers are running',
  });
});

test('leaving the iteration closes the connection', async () => {
  let left: () => void = () => {};
  const gone = new Promise<void>((resolve) => {
    left = resolve;
  });
  const url = await serving((_, response) => {
    response.on('close', left);
    const more = setInterval(() => response.write(log('line')), 1);
    response.on('close', () => clearInterval(more));
  });
  for await (const lines of await createClient({ url }).olderLines({ appId: 1 })) {
    expect(lines.length).toBeGreaterThan(0);
    break;
  }
  await gone;
});

test('the address of a file', () => {
  const client = createClient({ url: 'https://mist.example/a/' });
  expect(client.olderLinesFile({ appId: 3, until: '1h', timestamps: true })).toBe(
    'https://mist.example/a/api/apps/3/logs?until=1h&format=text&download=1&timestamps=1',
  );
  expect(() => client.olderLinesFile({})).toThrow('appId must be a positive integer');
});
