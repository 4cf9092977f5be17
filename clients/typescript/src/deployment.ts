/** A deployment's log from the beginning, and its status. */

import { linesOf } from './lines.ts';
import type { Message } from './link.ts';
import { dataOf, errorOf, lineOf, timeOf } from './messages.ts';
import { checkId } from './service.ts';
import { LiveStream } from './stream.ts';
import type {
  DeploymentEvent,
  DeploymentOptions,
  DeploymentStatus,
  DeploymentStream,
  LinesEvent,
  LogLine,
  WebSocketLike,
} from './types.ts';

const QUIET_MS = 30_000;

class Deploying extends LiveStream<DeploymentEvent, LogLine> implements DeploymentStream {
  readonly deploymentId: number;
  status: DeploymentStatus | null = null;
  complete = false;
  /** The number of delivered records; every connection starts again with the first. */
  #delivered = 0;
  #known = 0;
  #downtime: number | null = null;

  constructor(options: DeploymentOptions) {
    super(options, QUIET_MS);
    this.deploymentId = options.deploymentId;
  }

  lines(): AsyncIterableIterator<LogLine> {
    return linesOf(this);
  }

  open(): WebSocketLike {
    this.complete = false;
    return this.service.open('ws/deployment/logs', { deploymentId: this.deploymentId });
  }

  joined(downtime: number | null): void {
    this.#known = this.#delivered;
    this.#downtime = downtime;
  }

  message(message: Message): void {
    if (message.type === 'status') this.complete = dataOf(message).status === 'success';
    if (this.#isKnown(message)) return;
    if (this.#downtime !== null) {
      this.emit({ type: 'reconnected', missing: 0, exact: true, downtime: this.#downtime });
      this.#downtime = null;
    }
    switch (message.type) {
      case 'log': {
        const line = lineOf(message);
        if (line !== null) this.gather(line);
        break;
      }
      case 'status':
        this.#take(message);
        break;
      case 'error':
        this.emit(errorOf(message));
        // After the status `failed` it is the last record; otherwise the service refuses.
        this.complete = this.status?.status === 'failed';
        break;
    }
  }

  protected batch(lines: readonly LogLine[]): LinesEvent {
    return { type: 'lines', lines };
  }

  #take(message: Message): void {
    this.status = { ...(dataOf(message) as unknown as DeploymentStatus) };
    this.emit({ type: 'status', time: timeOf(message), data: this.status });
  }

  /** Count a record, and return true if it was delivered on an earlier connection. */
  #isKnown(message: Message): boolean {
    if (message.type === 'status' && dataOf(message).status === 'pending') {
      return this.#isOutdated(dataOf(message).message);
    }
    if (message.type !== 'log' && message.type !== 'status') return false;
    if (this.#known > 0) {
      this.#known -= 1;
      return true;
    }
    this.#delivered += 1;
    return false;
  }

  /**
   * Return true if a status about the queue is already known, or out of date. The log begins
   * with such a status, but others that are not part of it may come before, so counting fails.
   */
  #isOutdated(message: unknown): boolean {
    if (this.status === null) return false;
    return this.status.status !== 'pending' || this.status.message === message;
  }
}

/** Follow a deployment from the beginning of its log to its end; connects at once. */
export function deployment(options: DeploymentOptions): DeploymentStream {
  checkId('deploymentId', options.deploymentId);
  return new Deploying(options);
}
