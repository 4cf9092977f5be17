/** What applications use, each followed by a stream of its own while its row is in sight. */

import type { ContainerStats } from '@mist/client';
import { client } from './api';
import { grown, SPAN_S, type Trend } from './trend';

export class AppTrends {
  of: Record<number, Trend> = $state.raw({});
  readonly #streams = new Map<number, ContainerStats>();

  /** Follow an application while its row is in sight. */
  watch(app: number, seen: boolean): void {
    if (!seen) {
      this.#streams.get(app)?.close();
      this.#streams.delete(app);
    } else if (!this.#streams.has(app)) {
      this.#streams.set(app, this.#open(app));
    }
  }

  /** Try again where a container runs whose stream had ended. */
  retry(running: (app: number) => boolean): void {
    for (const [app, stream] of this.#streams) {
      const over = stream.state === 'ended' || stream.state === 'failed';
      if (over && running(app)) stream.reconnect();
    }
  }

  close(): void {
    for (const stream of this.#streams.values()) stream.close();
    this.#streams.clear();
  }

  #open(app: number): ContainerStats {
    const stream = client.containerStats({ appId: app, history: SPAN_S });
    stream.on('samples', ({ samples }) => {
      let trend = this.of[app];
      for (const each of samples) trend = grown(trend, Date.parse(each.timestamp) / 1000, each);
      if (trend !== undefined) this.of = { ...this.of, [app]: trend };
    });
    stream.on('state', ({ state, reason }) => {
      // A container that has stopped uses nothing any more.
      if (state === 'failed' || (state === 'ended' && reason?.code !== 'closed')) {
        const { [app]: _, ...others } = this.of;
        this.of = others;
      }
    });
    return stream;
  }
}
