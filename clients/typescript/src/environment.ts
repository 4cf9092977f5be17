/** The clock, timers, random numbers and wake-ups of the browser or of Node. */

import type { Environment } from './types.ts';

/** The interval at which lines are delivered without animation frames, in milliseconds. */
const BATCH_MS = 10;
/** A background tab has no animation frames. */
const HIDDEN_BATCH_MS = 100;

function later(callback: () => void, milliseconds: number): () => void {
  const timer = setTimeout(callback, milliseconds);
  return () => clearTimeout(timer);
}

/** Call back in the next animation frame, or soon if there is none; return a cancel function. */
export function nextBatch(callback: () => void): () => void {
  if (typeof requestAnimationFrame !== 'function') return later(callback, BATCH_MS);
  // Use both, because frames stop without notice when a window is covered or minimised.
  const cancel = () => {
    cancelAnimationFrame(frame);
    stopTimer();
  };
  const run = () => {
    cancel();
    callback();
  };
  const stopTimer = later(run, HIDDEN_BATCH_MS);
  const frame = requestAnimationFrame(run);
  return cancel;
}

function onWake(wake: () => void): () => void {
  if (typeof document === 'undefined') return () => {};
  const events = new AbortController();
  const { signal } = events;
  const visible = () => document.visibilityState === 'visible' && wake();
  globalThis.addEventListener('online', wake, { signal });
  // A page restored from the back-forward cache has lost its connections.
  globalThis.addEventListener('pageshow', wake, { signal });
  document.addEventListener('visibilitychange', visible, { signal });
  return () => events.abort();
}

const SYSTEM: Environment = { now: Date.now, random: Math.random, later, nextBatch, onWake };

/** Return the real environment, with the given parts replaced. */
export function environment(replaced: Partial<Environment> = {}): Environment {
  return { ...SYSTEM, ...replaced };
}
