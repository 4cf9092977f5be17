/** Texts about deployments that several views share. */

import { type App, api, type Deployment, reasonOf } from './api';
import { serverNow } from './clock';
import { confirm, notify } from './dialogs.svelte';
import { duration } from './format';
import { go } from './routes.svelte';

export const STAGES: readonly (readonly [stage: string, label: string])[] = [
  ['cloning_repo', 'Clone the repository'],
  ['building_image', 'Build the image'],
  ['stopping_old', 'Stop the old container'],
  ['starting_new', 'Start the new container'],
  ['completed', 'Completed'],
];

export function finished({ status }: Pick<Deployment, 'status'>): boolean {
  return status === 'success' || status === 'failed';
}

/** The look of a status: `good`, `bad`, `busy` or nothing. */
export function tone(status: string): string {
  if (status === 'success' || status === 'running') return 'good';
  if (status === 'failed' || status === 'dead') return 'bad';
  return ['building', 'deploying', 'restarting'].includes(status) ? 'busy' : '';
}

/** "a1b2c3d 'Fix login'", as far as it is known. */
export function commitOf({ commit_hash, commit_message }: Deployment): string {
  if (commit_hash === null) return '';
  return commit_message === null
    ? commit_hash.slice(0, 7)
    : `${commit_hash.slice(0, 7)} ‘${commit_message}’`;
}

/** The time that it ran, or has been running. */
export function took({ started_at, finished_at }: Deployment): string {
  if (started_at === null) return '';
  const end = finished_at === null ? serverNow() : Date.parse(finished_at);
  return duration(end - Date.parse(started_at));
}

/** "deployment 17 · a1b2c3d 'Fix login' · succeeded in 41 s" */
export function summary(deployment: Deployment): string {
  const how = deployment.status === 'success' ? 'succeeded' : 'failed';
  const parts = [`deployment ${deployment.id}`, commitOf(deployment)];
  if (deployment.rollback_to !== null) parts.push(`rolled back to ${deployment.rollback_to}`);
  const time = took(deployment);
  parts.push(
    time === '' ? how : `${how} ${deployment.status === 'success' ? 'in' : 'after'} ${time}`,
  );
  return parts.filter((part) => part !== '').join(' · ');
}

/** Whether the user may deploy, cancel and roll back; a viewer only looks. */
export function mayDeploy(app: App | undefined): boolean {
  return app?.right === 'deployer';
}

export async function deploy(app: App): Promise<void> {
  const branch = app.branch === null ? 'its default branch' : `branch ${app.branch}`;
  const yes = await confirm({
    title: `Deploy ${app.name}?`,
    text: `The newest commit of ${branch} is built, and its container replaces ${app.container}.`,
    action: 'Deploy',
  });
  if (yes) await start(() => api.deploy(app.id));
}

export async function rollBack(app: App, to: Deployment): Promise<void> {
  const yes = await confirm({
    title: `Roll ${app.name} back to deployment ${to.id}?`,
    text: `The image of ${commitOf(to) || `deployment ${to.id}`} is started again, and its container replaces ${app.container}.`,
    action: 'Roll back',
    danger: true,
  });
  if (yes) await start(() => api.rollBack(app.id, to.id));
}

/** Cancel after confirmation; return true if the user confirmed. */
export async function cancel(deployment: Deployment): Promise<boolean> {
  const yes = await confirm({
    title: `Cancel deployment ${deployment.id}?`,
    text: 'The deployment will end as failed. If the old container has already stopped, it is started again.',
    action: 'Cancel the deployment',
    danger: true,
  });
  if (!yes) return false;
  try {
    await api.cancel(deployment.id);
    notify('Cancellation requested');
    return true;
  } catch (error) {
    notify(reasonOf(error));
    return false;
  }
}

async function start(ask: () => Promise<Deployment>): Promise<void> {
  try {
    const { id } = await ask();
    go(`deployment?id=${id}`);
  } catch (error) {
    notify(reasonOf(error));
  }
}
