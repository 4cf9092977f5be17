/** The applications that the user may see: asked for once, and again when something changed. */

import { type App, api, reasonOf } from './api';

export const apps: { list: readonly App[]; loaded: boolean; problem: string } = $state({
  list: [],
  loaded: false,
  problem: '',
});

export async function loadApps(): Promise<void> {
  try {
    apps.list = await api.apps();
    apps.loaded = true;
    apps.problem = '';
  } catch (error) {
    apps.problem = reasonOf(error);
  }
}

export function appOf(id: number): App | undefined {
  return apps.list.find((app) => app.id === id);
}

export function nameOf(id: number): string {
  return appOf(id)?.name ?? `application ${id}`;
}
