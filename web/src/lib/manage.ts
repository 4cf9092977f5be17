/** What admins change, and every user's own tokens: the routes beside those of `api.ts`. */

import { api } from './api';

export type Role = 'admin' | 'user';
export type Right = 'viewer' | 'deployer';

export interface Account {
  readonly id: number;
  readonly email: string;
  readonly role: Role;
  readonly created_at: string;
  readonly must_change_password: boolean;
}

export interface Grant {
  readonly app_id: number;
  readonly user_id: number;
  readonly email: string;
  readonly right: Right;
}

export interface Token {
  readonly id: number;
  readonly name: string;
  readonly user: string;
  readonly right: Right | null;
  readonly apps: readonly number[] | null;
  readonly created_at: string;
  readonly expires_at: string | null;
  readonly last_used_at: string | null;
}

export interface Change {
  readonly id: number;
  readonly at: string;
  readonly by: string;
  readonly address: string;
  readonly action: string;
  readonly text: string;
}

/** An application with what `GET /api/apps` says about its container. */
export interface Options {
  readonly dockerfile: string;
  readonly restart_policy: string;
  readonly volumes: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly networks: readonly string[];
  readonly memory: number | null;
  readonly cpus: number | null;
  readonly command: readonly string[] | null;
  readonly hook: boolean;
  readonly removed_by: string | null;
  readonly removal_problem: string;
}

export const users = {
  all: () => api.call<Account[]>('GET', 'users'),
  add: (email: string, role: Role) =>
    api.call<Account & { one_time_password: string }>('POST', 'users', { body: { email, role } }),
  setRole: (id: number, role: Role) =>
    api.call<Account>('PATCH', `users/${id}`, { body: { role } }),
  remove: (id: number) => api.call<null>('DELETE', `users/${id}`),
};

export const grants = {
  of: (app: number) => api.call<Grant[]>('GET', `apps/${app}/grants`),
  set: (app: number, user: string, right: Right) =>
    api.call<Grant>('PUT', `apps/${app}/grants/${encodeURIComponent(user)}`, { body: { right } }),
  withdraw: (app: number, user: number) => api.call<null>('DELETE', `apps/${app}/grants/${user}`),
};

export const tokens = {
  all: () => api.call<Token[]>('GET', 'tokens'),
  add: (body: { name: string; right?: Right; apps?: readonly number[]; expires?: string }) =>
    api.call<Token & { token: string }>('POST', 'tokens', { body }),
  revoke: (id: number) => api.call<null>('DELETE', `tokens/${id}`),
};

export const applications = {
  edit: (id: number, body: Readonly<Record<string, unknown>>) =>
    api.call<null>('PATCH', `apps/${id}`, { body }),
  remove: (id: number) => api.call<null>('DELETE', `apps/${id}`),
  newHook: (id: number) => api.call<{ path: string; secret: string }>('POST', `apps/${id}/hook`),
  removeHook: (id: number) => api.call<null>('DELETE', `apps/${id}/hook`),
};

export const changes = {
  newest: (before?: number) =>
    api.call<Change[]>('GET', 'audit', { query: { limit: 100, before } }),
};

/** Parse lines of `NAME=VALUE`; throw an error that names the first other line. */
export function pairs(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const line of text.split('\n').filter((each) => each.trim() !== '')) {
    const at = line.indexOf('=');
    if (at < 1) throw new Error(`‘${line.slice(0, 40)}’ does not have the form NAME=VALUE`);
    found[line.slice(0, at).trim()] = line.slice(at + 1);
  }
  return found;
}

/** The lines of a text area that are not empty. */
export function listed(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}
