/** The HTTP API (docs/http-api.md). */

import { at } from './base';
import { noteServerDate } from './clock';

export interface Identity {
  readonly user_id: number | null;
  readonly email: string;
  readonly role: 'admin' | 'user';
  readonly expires_at: string;
}

export interface App {
  readonly id: number;
  readonly name: string;
  readonly container: string;
  readonly git_url: string | null;
  readonly branch: string | null;
  readonly dockerfile: string;
  readonly port: number | null;
  readonly env: readonly string[];
  readonly restart_policy: string;
  readonly created_at: string;
}

export type DeploymentState = 'pending' | 'building' | 'deploying' | 'success' | 'failed';

export interface Deployment {
  readonly id: number;
  readonly app_id: number;
  readonly status: DeploymentState;
  readonly stage: string;
  readonly progress: number;
  readonly message: string;
  readonly error_message: string;
  readonly commit_hash: string | null;
  readonly commit_message: string | null;
  readonly image: string | null;
  readonly created_by: string;
  readonly rollback_to: number | null;
  readonly cancelled_by: string | null;
  readonly created_at: string;
  readonly started_at: string | null;
  readonly finished_at: string | null;
}

/** An answer that says no, or no answer at all (`status` 0). */
export class ApiError extends Error {
  readonly status: number;
  readonly retryAfter: number | null;

  constructor(status: number, message: string, retryAfter: number | null = null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** How long the service may take to answer. */
const PATIENCE_MS = 20_000;

/** Called when the session is over; the session module sets it. */
export const onUnauthorized: { call: () => void } = { call: () => {} };

export const api = {
  me: () => request<Identity>('GET', 'api/auth/me'),
  login: (email: string, password: string) =>
    request<Identity>('POST', 'api/auth/login', { email, password }),
  logout: () => request<null>('POST', 'api/auth/logout'),
  apps: () => request<App[]>('GET', 'api/apps'),
  app: (id: number) => request<App>('GET', `api/apps/${id}`),
  addApp: (app: Partial<App> & { name: string }) => request<App>('POST', 'api/apps', app),
  deployments: (app: number, limit = 50) =>
    request<Deployment[]>('GET', `api/apps/${app}/deployments?limit=${limit}`),
  deployment: (id: number) => request<Deployment>('GET', `api/deployments/${id}`),
  deploy: (app: number) => request<Deployment>('POST', `api/apps/${app}/deployments`),
  rollBack: (app: number, to: number) =>
    request<Deployment>('POST', `api/apps/${app}/deployments`, { rollback_to: to }),
  cancel: (id: number) => request<Deployment>('POST', `api/deployments/${id}/cancel`),
};

async function request<T>(method: string, path: string, body?: unknown): Promise<T> {
  const began = performance.now();
  let response: Response;
  let text: string;
  try {
    response = await fetch(at(path), {
      method,
      credentials: 'same-origin',
      signal: AbortSignal.timeout(PATIENCE_MS),
      ...(body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
    });
    text = await response.text();
  } catch (error) {
    const late = error instanceof DOMException && error.name === 'TimeoutError';
    throw new ApiError(0, late ? 'Mist takes too long to answer' : 'Mist cannot be reached');
  }
  noteServerDate(response.headers.get('Date'), performance.now() - began);
  return opened<T>(response, text, path);
}

function opened<T>(response: Response, text: string, path: string): T {
  const envelope = parse(text);
  if (response.ok && envelope !== null) return envelope.data as T;
  if (response.status === 401 && path !== 'api/auth/login') onUnauthorized.call();
  const wait = Number(response.headers.get('Retry-After'));
  throw new ApiError(
    response.status,
    envelope?.message || `Mist answered with an error (${response.status})`,
    wait > 0 ? wait : null,
  );
}

interface Envelope {
  readonly message: string;
  readonly data: unknown;
}

/** Return the envelope of an answer; null for what a proxy made up. */
function parse(text: string): Envelope | null {
  try {
    const found: unknown = JSON.parse(text);
    return typeof found === 'object' && found !== null && 'message' in found
      ? (found as Envelope)
      : null;
  } catch {
    return null;
  }
}

/** Return what a person is told of a failure. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
