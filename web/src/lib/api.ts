/** The service, through `@mist/client`, as any other program uses it. */

import { ApiError, createClient, type OlderLinesOptions } from '@mist/client';
import { root } from './base';
import { noteServerDate } from './clock';

export type { App, Deployment, Identity, NewApp } from '@mist/client';
export { ApiError };

export const client = createClient({
  url: root(),
  onResponse: (response) => noteServerDate(response.headers.get('Date')),
});

/** Called when a response says that the session has ended; the session module sets it. */
export const onUnauthorized: { call: () => void } = { call: () => {} };

/** The client's calls, watching for the end of the session. */
export const api = {
  me: () => client.me(),
  login: (email: string, password: string) => client.login(email, password),
  logout: () => client.logout(),
  changePassword: (old: string, next: string) => client.changePassword(old, next),
  apps: () => watched(client.apps()),
  addApp: (app: Parameters<typeof client.addApp>[0]) => watched(client.addApp(app)),
  deployments: (app: number, limit = 50) => watched(client.deployments(app, { limit })),
  deployment: (id: number) => watched(client.deployment(id)),
  deploy: (app: number) => watched(client.deploy(app)),
  rollBack: (app: number, to: number) => watched(client.rollback(app, to)),
  olderLines: (which: OlderLinesOptions, signal: AbortSignal) =>
    watched(client.olderLines(which, { signal })),
  cancel: (id: number) => watched(client.cancel(id)),
  call: <T>(method: string, path: string, call?: Parameters<typeof client.call>[2]) =>
    watched(client.call<T>(method, path, call)),
};

async function watched<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) onUnauthorized.call();
    throw error;
  }
}

/** Return the message about a failure for people. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
