/** Dark, light, or the system's theme. */

import type { Theme } from './log/row';
import { remember, settings, type ThemeChoice } from './settings.svelte';

const system = matchMedia('(prefers-color-scheme: light)');
let systemTheme: Theme = $state(system.matches ? 'light' : 'dark');
system.addEventListener('change', ({ matches }) => {
  systemTheme = matches ? 'light' : 'dark';
});

/** The current theme. */
export function theme(): Theme {
  return settings.theme === 'auto' ? systemTheme : settings.theme;
}

const NEXT: Readonly<Record<ThemeChoice, ThemeChoice>> = {
  auto: 'dark',
  dark: 'light',
  light: 'auto',
};

export function nextTheme(): void {
  settings.theme = NEXT[settings.theme];
  remember();
}
