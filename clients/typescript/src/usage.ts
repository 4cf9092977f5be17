/** Parse the figures of a container. */

import type { Usage } from './container-types.ts';
import { dataOf, numberOf } from './messages.ts';

/** Return the figures; those that are missing or not numbers are `null`. */
export function usageOf(value: unknown): Usage {
  const found = dataOf({ data: value });
  const figure = (key: keyof Usage) => numberOf(found[key]);
  return {
    cpu_percent: figure('cpu_percent'),
    memory_used: figure('memory_used'),
    memory_limit: figure('memory_limit'),
    memory_percent: figure('memory_percent'),
    network_rx: figure('network_rx'),
    network_tx: figure('network_tx'),
    block_read: figure('block_read'),
    block_write: figure('block_write'),
    pids: figure('pids'),
  };
}
