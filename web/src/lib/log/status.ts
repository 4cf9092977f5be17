/** What a new status of a container means for the reader of its log. */

import type { ContainerStatus } from '@mist/client';
import type { MarkKind } from './entry';

export interface Change {
  readonly kind: MarkKind;
  readonly what: string;
}

/** The health at the end of the engine's phrase, such as "Up 2 hours (healthy)". */
const HEALTH = /\((healthy|unhealthy|health: starting)\)$/;

const healthOf = ({ status }: ContainerStatus): string => HEALTH.exec(status)?.[1] ?? '';

/** Return what a status among older lines tells: "Started", "Restarted", "Exited (1)". */
export function pastChange({ state, status }: ContainerStatus): Change {
  if (state === 'running') return { kind: 'start', what: status.toLowerCase() };
  return { kind: 'end', what: `${state} · ${status}` };
}

/** Return what has changed from one status to the next one. */
export function changeOf(before: ContainerStatus, now: ContainerStatus): Change {
  if (now.state !== 'running') return { kind: 'end', what: now.state };
  if (before.state === 'paused') return { kind: 'start', what: 'unpaused' };
  if (before.state !== 'running') return { kind: 'start', what: 'started' };
  const health = healthOf(now);
  // A container that is started again begins with "health: starting".
  if (health === healthOf(before) || health === '' || health.startsWith('health:')) {
    return { kind: 'start', what: 'restarted' };
  }
  return { kind: health === 'healthy' ? 'start' : 'end', what: health };
}
