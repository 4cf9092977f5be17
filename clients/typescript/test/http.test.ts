import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { createClient } from '../src/index.ts';

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

const answer = (status: number, body: string, headers = {}): RequestListener => {
  return (_, response) => response.writeHead(status, headers).end(body);
};

test.each([
  [401, '{"success":false,"message":"Wrong password","data":null}', 'Wrong password'],
  [500, '{"success":false,"message":"Internal error","data":null}', 'Internal error'],
  [500, 'Traceback', 'The service answered with an error (HTTP status 500)'],
  [502, '<html>Bad Gateway</html>', 'The service answered with an error (HTTP status 502)'],
  [200, '<html>Welcome</html>', 'The service answered with an error (HTTP status 200)'],
  [200, 'null', 'The service answered with an error (HTTP status 200)'],
  [200, '', 'The service answered with an error (HTTP status 200)'],
])('status %i with %j: %s', async (status, body, message) => {
  const client = createClient({ url: await serving(answer(status, body)) });
  await expect(client.me()).rejects.toMatchObject({ name: 'ApiError', status, message });
});

test('too many attempts tell how long to wait', async () => {
  const body = '{"success":false,"message":"Too many attempts","data":null}';
  const client = createClient({ url: await serving(answer(429, body, { 'Retry-After': '17' })) });
  await expect(client.login('a@b', 'c')).rejects.toMatchObject({ status: 429, retryAfter: 17 });
});

test('a service that is not there, one that is slow, and a caller that gives up', async () => {
  const away = createClient({ url: 'http://127.0.0.1:9' });
  await expect(away.me()).rejects.toMatchObject({
    status: 0,
    message: 'The service cannot be reached',
  });
  const slow = createClient({ url: await serving(() => {}), timeout: 50 });
  await expect(slow.me()).rejects.toMatchObject({
    status: 0,
    message: 'The service takes too long to answer',
  });
  const asked = createClient({ url: slow.url }).me({ signal: AbortSignal.timeout(50) });
  await expect(asked).rejects.toMatchObject({ name: 'TimeoutError' });
});

test('every route is asked as docs/http-api.md has it', async () => {
  const seen: string[] = [];
  const url = await serving((request, response) => {
    let body = '';
    request.on('data', (part) => {
      body += part;
    });
    request.on('end', () => {
      seen.push(`${request.method} ${request.url} ${body}`.trim());
      response.end('{"success":true,"message":"OK","data":[]}');
    });
  });
  const client = createClient({ url: `${url}/sub`, headers: { Cookie: 'mist_token=x' } });
  await client.login('me@localhost', 'secret');
  await client.me();
  await client.apps();
  await client.app(3);
  await client.addApp({ name: 'site' });
  await client.deployments(3);
  await client.deployments(3, { limit: 5 });
  await client.deployment(4);
  await client.deploy(3);
  await client.rollback(3, 2);
  await client.cancel(4);
  await client.logout();
  expect(seen).toEqual([
    'POST /sub/api/auth/login {"email":"me@localhost","password":"secret"}',
    'GET /sub/api/auth/me',
    'GET /sub/api/apps',
    'GET /sub/api/apps/3',
    'POST /sub/api/apps {"name":"site"}',
    'GET /sub/api/apps/3/deployments',
    'GET /sub/api/apps/3/deployments?limit=5',
    'GET /sub/api/deployments/4',
    'POST /sub/api/apps/3/deployments',
    'POST /sub/api/apps/3/deployments {"rollback_to":2}',
    'POST /sub/api/deployments/4/cancel',
    'POST /sub/api/auth/logout',
  ]);
});

test('the caller sees every response', async () => {
  const dates: (string | null)[] = [];
  const client = createClient({
    url: await serving(answer(200, '{"message":"OK","data":null}')),
    onResponse: (response) => dates.push(response.headers.get('Date')),
  });
  await client.me();
  expect(dates).toEqual([expect.any(String)]);
});
