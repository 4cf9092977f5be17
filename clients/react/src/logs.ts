/** The log of a container. */

import {
  type ContainerLogs,
  type ContainerLogsOptions,
  containerLogs,
  type StateEvent,
} from '@mist/client';
import { appendLines, type LinesOptions, type LinesView, NO_LINES } from './lines.ts';
import { type HookOptions, Store, useStore, type View } from './store.ts';

export interface UseContainerLogsOptions
  extends HookOptions,
    LinesOptions,
    Pick<ContainerLogsOptions, 'tail' | 'since' | 'stopped'> {}

export interface ContainerLogsView extends View, LinesView {
  /**
   * `connecting`, `connected`, then the container's state in the engine's words (`running`,
   * `exited`, …); `disconnected` between connections, `ended` after the container's end, `error`
   * when the stream has failed, and `idle` without an application.
   */
  readonly status: string;
  /** The number of lines that are known to be missing. */
  readonly missing: number;
}

type Options = UseContainerLogsOptions & { readonly appId: number | null };

class LogsStore extends Store<ContainerLogsView> {
  readonly #options: Options;

  constructor(options: Options) {
    const follows = options.appId !== null;
    super({ ...NO_LINES, status: follows ? 'connecting' : 'idle', missing: 0 }, follows);
    this.#options = options;
  }

  protected open(): ContainerLogs | null {
    const { appId, maxLines, ...options } = this.#options;
    if (appId === null) return null;
    const logs = containerLogs({ ...options, appId });
    logs.on('open', () => this.change({ status: 'connected' }));
    logs.on('status', ({ data }) => this.change({ status: data.state }));
    logs.on('lines', ({ lines }) => this.change(appendLines(this.view, lines, this.#options)));
    logs.on('skipped', ({ lines }) => this.change({ missing: this.view.missing + lines }));
    logs.on('error', ({ message }) => this.change({ error: message }));
    logs.on('state', (event) => this.#take(event, logs.status?.state));
    return logs;
  }

  protected failed(error: string): Partial<ContainerLogsView> {
    return { error, status: 'error', connection: 'failed' };
  }

  /** `known` is the container's state, which a later connection may not repeat. */
  #take({ state, reason }: StateEvent, known = 'connected'): void {
    const error = reason?.message ?? null;
    if (state === 'live') this.change({ connection: state, status: known, error });
    else if (state === 'failed') this.change(this.failed(error ?? ''));
    else if (state === 'ended') this.change({ connection: state, status: 'ended', error: null });
    else {
      const status = reason === null ? 'connecting' : 'disconnected';
      this.change({ connection: state, status, error });
    }
  }
}

const make = (options: Options) => new LogsStore(options);

/** Follow the log of an application's container; with `null`, follow nothing yet. */
export function useContainerLogs(
  appId: number | null,
  options: UseContainerLogsOptions = {},
): ContainerLogsView {
  return useStore(make, { ...options, appId: appId ?? null });
}
