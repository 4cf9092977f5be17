/** The applications that the user may see, loaded once and after each change. */

import { type App, api, reasonOf } from './api';
import { containerOf } from './sources';

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

/** Reload the list; keep the current one if the service does not answer. */
export async function refreshApps(): Promise<void> {
  try {
    take(await api.apps());
  } catch {
    // The streams already report that the service is unreachable.
  }
}

function take(list: readonly App[]): void {
  // Redraw the views that depend on the list only if it has changed.
  if (JSON.stringify(list) !== JSON.stringify(apps.list)) apps.list = list;
  apps.loaded = true;
  apps.problem = '';
}

export function appOf(id: number): App | undefined {
  return apps.list.find((app) => app.id === id);
}

/** Return the name of a log: of its application, or of its container. */
export function nameOf(id: number): string {
  return appOf(id)?.name ?? containerOf(id) ?? `application ${id}`;
}
