/** The settings that the page remembers, if the browser allows it. */

import type { Filter } from './log/filter';
import { NO_FILTER } from './log/filter';
import type { Timestamps } from './log/row';

export type ThemeChoice = 'auto' | 'dark' | 'light';

interface Remembered {
  theme: ThemeChoice;
  timestamps: Timestamps;
  wrap: boolean;
  /** The size of log text, in pixels. */
  size: number;
  filters: Record<string, Filter>;
}

const KEY = 'mist.page';
/** Applications whose filters are remembered; the one set longest ago goes first. */
const MOST_FILTERS = 50;
export const SIZES = [11, 12, 13, 14, 16] as const;
export const TIMESTAMPS: readonly Timestamps[] = ['off', 'local', 'utc', 'relative', 'delta'];

const DEFAULTS: Remembered = {
  theme: 'auto',
  timestamps: 'local',
  wrap: false,
  size: 12,
  filters: {},
};

export const settings: Remembered = $state(load());

/** Save the settings; they are lost if the browser has no space or permission. */
export function remember(): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // With no quota, or with storage disabled, the settings last until the page is closed.
  }
}

export function nextTimestamps(): void {
  const now = TIMESTAMPS.indexOf(settings.timestamps);
  settings.timestamps = TIMESTAMPS[(now + 1) % TIMESTAMPS.length] ?? 'local';
  remember();
}

export function toggleWrap(): void {
  settings.wrap = !settings.wrap;
  remember();
}

export function filterOf(apps: readonly number[]): Filter {
  return { ...NO_FILTER, ...settings.filters[apps.join('+')] };
}

export function rememberFilter(apps: readonly number[], filter: Filter): void {
  const key = apps.join('+');
  delete settings.filters[key];
  settings.filters[key] = filter;
  for (const old of Object.keys(settings.filters).slice(0, -MOST_FILTERS)) {
    delete settings.filters[old];
  }
  remember();
}

function load(): Remembered {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    return valid({ ...DEFAULTS, ...(found as object) } as Remembered);
  } catch {
    return { ...DEFAULTS, filters: {} };
  }
}

/** Ignore values from an older or newer page that this one does not know. */
function valid(found: Remembered): Remembered {
  return {
    theme: ['auto', 'dark', 'light'].includes(found.theme) ? found.theme : DEFAULTS.theme,
    timestamps: TIMESTAMPS.includes(found.timestamps) ? found.timestamps : DEFAULTS.timestamps,
    wrap: found.wrap === true,
    size: (SIZES as readonly number[]).includes(found.size) ? found.size : DEFAULTS.size,
    filters: typeof found.filters === 'object' && found.filters !== null ? found.filters : {},
  };
}
