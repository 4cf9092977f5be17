/** The public types of the host's containers and their resource use. */

import type {
  ContainerStatusEvent,
  EndEvent,
  ErrorEvent,
  OpenEvent,
  ReconnectedEvent,
  SamplesEvent,
  StateEvent,
  Stream,
  StreamOptions,
} from './types.ts';

/** A container of the host, with or without an application. */
export interface HostContainer {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  /** The state in the engine's words: `running`, `exited`, `paused`, … */
  readonly state: string;
  /** A description for people, such as `Up 2 hours`. */
  readonly status: string;
  /** `healthy`, `unhealthy` or `starting`; `null` without a health check. */
  readonly health: string | null;
  readonly created: string | null;
  readonly started: string | null;
  /** The Compose project and the service in it. */
  readonly project: string | null;
  readonly service: string | null;
  /** The application that the container belongs to. */
  readonly app_id: number | null;
}

/** What a container uses; a figure that cannot be read is `null`. Byte counts only ever grow. */
export interface Usage {
  /** 100 for each core that is busy, as in `docker stats`. */
  readonly cpu_percent: number | null;
  /** Bytes, without the page cache. */
  readonly memory_used: number | null;
  /** Bytes; the host's memory if the container has no limit. */
  readonly memory_limit: number | null;
  readonly memory_percent: number | null;
  /** Bytes since the container's start. */
  readonly network_rx: number | null;
  readonly network_tx: number | null;
  readonly block_read: number | null;
  readonly block_write: number | null;
  readonly pids: number | null;
}

/** All containers of the host: at each connection, and after every change. */
export interface ContainersEvent {
  readonly type: 'containers';
  readonly time: string;
  readonly containers: readonly HostContainer[];
}

/** What the running containers use, by their ids. */
export interface HostUsage {
  readonly timestamp: string;
  readonly stats: Readonly<Record<string, Usage>>;
}

export type ContainersStreamEvent =
  | StateEvent
  | OpenEvent
  | ContainersEvent
  | SamplesEvent<HostUsage>
  | ErrorEvent;

export interface ContainersStream extends Stream<ContainersStreamEvent> {
  /** The newest list, or `null` before the first. */
  readonly containers: readonly HostContainer[] | null;
}

export type ContainersOptions = StreamOptions;

/** What one container used at one moment. */
export interface UsageSample extends Usage {
  readonly timestamp: string;
}

export type ContainerStatsEvent =
  | StateEvent
  | OpenEvent
  | ContainerStatusEvent
  | SamplesEvent<UsageSample>
  | ReconnectedEvent
  | ErrorEvent
  | EndEvent;

export interface ContainerStats extends Stream<ContainerStatsEvent> {
  /** The newest sample, or `null` before the first. */
  readonly latest: UsageSample | null;
}

/** Name either the application or, as an admin, any container. */
export interface ContainerStatsOptions extends StreamOptions {
  readonly appId?: number;
  readonly container?: string;
  /** The number of earlier samples to start with, 0 to 300. */
  readonly history?: number;
}
