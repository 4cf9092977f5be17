import { expect, test } from 'vitest';
import { changeOf, pastChange } from '../src/lib/log/status';

const at = (state: string, status: string) => ({ container: 'web', state, status });

test.each([
  ['running', 'Up 2 hours', 'running', 'Up Less than a second', 'start', 'restarted'],
  ['exited', 'Exited (0) 3 seconds ago', 'running', 'Up 1 second', 'start', 'started'],
  ['running', 'Up 2 hours', 'paused', 'Up 2 hours (Paused)', 'end', 'paused'],
  ['paused', 'Up 2 hours (Paused)', 'running', 'Up 2 hours', 'start', 'unpaused'],
  [
    'running',
    'Up 1 second (health: starting)',
    'running',
    'Up 2 seconds (healthy)',
    'start',
    'healthy',
  ],
  ['running', 'Up 2 hours (healthy)', 'running', 'Up 2 hours (unhealthy)', 'end', 'unhealthy'],
  [
    'running',
    'Up 2 hours (healthy)',
    'running',
    'Up 1 second (health: starting)',
    'start',
    'restarted',
  ],
  ['running', 'Up 2 hours', 'restarting', 'Restarting (1) 1 second ago', 'end', 'restarting'],
])('from %s, %s to %s, %s', (before, then, after, now, kind, what) => {
  expect(changeOf(at(before, then), at(after, now))).toEqual({ kind, what });
});

test.each([
  ['running', 'Started', 'start', 'started'],
  ['running', 'Restarted', 'start', 'restarted'],
  ['exited', 'Exited (137)', 'end', 'exited · Exited (137)'],
])('among older lines, %s (%s) is the mark of a %s: %s', (state, status, kind, what) => {
  expect(pastChange(at(state, status))).toEqual({ kind, what });
});
