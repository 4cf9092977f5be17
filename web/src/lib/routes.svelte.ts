/** The addresses of the page (web/README.md), and navigation between them. */

import { root } from './base';

export interface Route {
  readonly view: string;
  readonly params: URLSearchParams;
  readonly hash: string;
}

let current: Route = $state.raw(read());

/** The current address. */
export function route(): Route {
  return current;
}

/** Go to an address of the page: `go('log?app=3')`. */
export function go(address: string, replace = false): void {
  const url = new URL(address, root());
  if (replace) history.replaceState(null, '', url);
  else history.pushState(null, '', url);
  current = read();
  if (!replace) scrollTo(0, 0);
}

/** Change the address without navigation, for the search of the current view. */
export function amend(change: (params: URLSearchParams) => void, hash = location.hash): void {
  const url = new URL(location.href);
  change(url.searchParams);
  url.hash = hash;
  if (url.href === location.href) return;
  history.replaceState(null, '', url);
  current = read();
}

/** Return the ids that `?app=` names, or the error in one. */
export function ids(values: readonly string[], what: string): number[] | { error: string } {
  const found: number[] = [];
  for (const value of values) {
    const id = /^\d{1,15}$/.test(value) ? Number(value) : 0;
    if (id < 1) return { error: `‘${value.slice(0, 40)}’ is not the number of ${what}` };
    if (!found.includes(id)) found.push(id);
  }
  return found;
}

function read(): Route {
  const { pathname, search, hash } = location;
  const path = pathname.startsWith(root().pathname) ? pathname.slice(root().pathname.length) : '';
  const view = path === 'index.html' ? '' : decode(path);
  return { view, params: new URLSearchParams(search), hash: hash.slice(1) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

addEventListener('popstate', () => {
  current = read();
});

/** Follow links within the page without reloading it. */
addEventListener('click', (event) => {
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element).closest?.('a[href]') as HTMLAnchorElement | null;
  if (link === null || link.target !== '' || link.hasAttribute('download')) return;
  const base = root().href;
  const rest = link.href.startsWith(base) ? link.href.slice(base.length) : null;
  if (rest === null || rest.split(/[?#]/, 1)[0]?.includes('/')) return;
  event.preventDefault();
  go(rest === '' ? '.' : rest);
});
