/** Clock, timers, chance and wake-ups: those of the browser or of Node. */

import type { Environment } from './types.ts';

/** Lines are delivered at least this often where there are no animation frames, in milliseconds. */
const BATCH_MS = 10;
/** A tab in the background has no animation frames. */
const HIDDEN_BATCH_MS = 100;

function later(callback: () => void, milliseconds: number): () => void {
  const timer = setTimeout(callback, milliseconds);
  return () => clearTimeout(timer);
}

/** Call back in the next animation frame, or soon where there is none; return what prevents it. */
export function nextBatch(callback: () => void): () => void {
  if (typeof requestAnimationFrame !== 'function') return later(callback, BATCH_MS);
  // Whichever comes first: frames stop without notice when a window is covered or minimised.
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
  // A page that comes out of the back-forward cache has lost its connections.
  globalThis.addEventListener('pageshow', wake, { signal });
  document.addEventListener('visibilitychange', visible, { signal });
  return () => events.abort();
}

const SYSTEM: Environment = { now: Date.now, random: Math.random, later, nextBatch, onWake };

/** Return the real surroundings, with some of them replaced. */
export function environment(replaced: Partial<Environment> = {}): Environment {
  return { ...SYSTEM, ...replaced };
}
