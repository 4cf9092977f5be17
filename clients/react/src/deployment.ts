/** A React hook that follows a deployment from beginning to end. */

import {
  type DeploymentStage,
  type DeploymentState,
  type DeploymentStatus,
  type DeploymentStream,
  deployment,
  type StateEvent,
} from '@mist/client';
import { appendLines, type LinesOptions, type LinesView, NO_LINES } from './lines.ts';
import { type HookOptions, Store, useStore, type View } from './store.ts';

export interface UseDeploymentOptions extends HookOptions, LinesOptions {}

export interface DeploymentView extends View, LinesView {
  /**
   * The deployment's own status; `connecting` until it is known, `error` if it cannot be,
   * and `idle` without a deployment.
   */
  readonly status: DeploymentState | 'connecting' | 'error' | 'idle';
  readonly stage: DeploymentStage;
  /** Percent, 0 to 100. */
  readonly progress: number;
  readonly message: string;
}

type Options = UseDeploymentOptions & { readonly deploymentId: number | null };

const PENDING = { ...NO_LINES, stage: 'pending', progress: 0, message: '' };

class DeploymentStore extends Store<DeploymentView> {
  readonly #options: Options;

  constructor(options: Options) {
    const follows = options.deploymentId !== null;
    super({ ...PENDING, status: follows ? 'connecting' : 'idle' }, follows);
    this.#options = options;
  }

  protected open(): DeploymentStream | null {
    const { deploymentId, maxLines, ...options } = this.#options;
    if (deploymentId === null) return null;
    const stream = deployment({ ...options, deploymentId });
    stream.on('status', ({ data }) => this.#takeStatus(data));
    stream.on('lines', ({ lines }) => this.change(appendLines(this.view, lines, this.#options)));
    stream.on('error', ({ message }) => this.change({ error: message }));
    stream.on('state', (event) => this.#takeState(event));
    return stream;
  }

  protected failed(error: string): Partial<DeploymentView> {
    return { error, status: 'error', connection: 'failed' };
  }

  #takeStatus({ status, stage, progress, message, error_message }: DeploymentStatus): void {
    this.change({ status, stage, progress, message, error: error_message || null });
  }

  #takeState({ state, reason }: StateEvent): void {
    if (state === 'failed') this.change(this.failed(reason?.message ?? ''));
    // The error of a failed deployment stays.
    else if (state === 'ended') this.change({ connection: state });
    else this.change({ connection: state, error: reason?.message ?? null });
  }
}

const make = (options: Options) => new DeploymentStore(options);

/** Follow a deployment; with `null`, follow nothing yet. */
export function useDeployment(
  deploymentId: number | null,
  options: UseDeploymentOptions = {},
): DeploymentView {
  return useStore(make, { ...options, deploymentId: deploymentId ?? null });
}
