/** The applications that the user may see: asked for once, and again when something changed. */

import { type App, api, reasonOf } from './api';

export const apps: { list: readonly App[]; loaded: boolean; problem: string } = $state({
  list: [],
  loaded: false,
  problem: '',
});

export async function loadApps(): Promise<void> {
  try {
    take(await api.apps());
  } catch (error) {
    apps.problem = reasonOf(error);
  }
}

/** Ask again, and keep what is shown if nobody answers now. */
export async function refreshApps(): Promise<void> {
  try {
    take(await api.apps());
  } catch {
    // The streams say that the service is away.
  }
}

function take(list: readonly App[]): void {
  // What depends on the list is drawn again only when it has changed.
  if (JSON.stringify(list) !== JSON.stringify(apps.list)) apps.list = list;
  apps.loaded = true;
  apps.problem = '';
}

export function appOf(id: number): App | undefined {
  return apps.list.find((app) => app.id === id);
}

export function nameOf(id: number): string {
  return appOf(id)?.name ?? `application ${id}`;
}
