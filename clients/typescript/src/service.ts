/** The service's addresses, WebSockets and HTTP requests. */

import type { ConnectOptions, WebSocketConstructor, WebSocketLike } from './types.ts';

/** The time limit of a diagnosis, in milliseconds. */
const DIAGNOSIS_MS = 5000;

/** The HTTP status when a WebSocket could not be opened. */
export type Diagnosis = 'unauthorized' | 'reachable' | 'unreachable';

type Query = Readonly<Record<string, string | number | undefined>>;

export class Service {
  /** The address, always with a trailing slash. */
  readonly url: string;
  readonly #headers: Readonly<Record<string, string>> | undefined;
  readonly #WebSocket: WebSocketConstructor | undefined;
  readonly #fetch: typeof fetch;

  /** Throw a TypeError that says what is missing or wrong. */
  constructor(options: ConnectOptions = {}) {
    this.url = rootOf(options.url);
    this.#headers = options.headers;
    this.#WebSocket = options.WebSocket;
    // Call it without a receiver: browsers refuse to run fetch as a method of another object.
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init));
    if (options.headers !== undefined && typeof document !== 'undefined') {
      throw new TypeError('headers: a browser cannot send headers of its own with a WebSocket');
    }
  }

  /** Open the WebSocket of a route such as `ws/metrics`. */
  open(route: string, query: Query): WebSocketLike {
    const WebSocket = this.#WebSocket ?? globalThis.WebSocket;
    if (WebSocket === undefined) {
      throw new TypeError(
        'No WebSocket is available: pass the option WebSocket, for instance the one from "ws"',
      );
    }
    const address = this.address(route, query).replace(/^http/, 'ws');
    if (this.#headers === undefined) return new WebSocket(address);
    const headers = this.#headers;
    // Node's own takes them as its second argument, "ws" as its third.
    return WebSocket === globalThis.WebSocket
      ? new WebSocket(address, { headers })
      : new WebSocket(address, [], { headers });
  }

  /** Send a request; reject as `fetch` does. */
  request(path: string, init: RequestInit = {}, query: Query = {}): Promise<Response> {
    const headers = { ...this.#headers, ...(init.headers as Record<string, string> | undefined) };
    const fetch = this.#fetch;
    return fetch(this.address(path, query), { credentials: 'include', ...init, headers });
  }

  /** Find out why a WebSocket was refused, because a browser reports a 401 as a lost connection. */
  async diagnose(): Promise<Diagnosis> {
    try {
      const signal = AbortSignal.timeout(DIAGNOSIS_MS);
      const response = await this.request('api/auth/me', { signal, cache: 'no-store' });
      void response.body?.cancel();
      if (response.status === 401) return 'unauthorized';
      return response.ok ? 'reachable' : 'unreachable';
    } catch {
      return 'unreachable';
    }
  }

  /** Return the address of a path below the service. */
  address(path: string, query: Query): string {
    const given = Object.entries(query).filter(([, value]) => value !== undefined);
    const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
    return this.url + path + (search.size > 0 ? `?${search}` : '');
  }
}

function rootOf(url: string | URL | undefined): string {
  const page = typeof document === 'undefined' ? undefined : document.location.href;
  if (url === undefined && page === undefined) {
    throw new TypeError('url is missing: the address of the service, such as https://mist.example');
  }
  const root = parseUrl(url ?? '/', page);
  if (root === null || !/^(http|ws)s?:$/.test(root.protocol)) {
    throw new TypeError(`url must be an http or https address, not ${JSON.stringify(String(url))}`);
  }
  root.search = '';
  root.hash = '';
  const text = root.href.replace(/^ws/, 'http');
  return text.endsWith('/') ? text : `${text}/`;
}

function parseUrl(url: string | URL, base: string | undefined): URL | null {
  try {
    return new URL(url, base);
  } catch {
    return null;
  }
}

/** Return an id, or throw a TypeError that names what is wrong with it. */
export function checkId(name: string, value: number | undefined): number {
  if (value !== undefined && Number.isSafeInteger(value) && value > 0) return value;
  throw new TypeError(`${name} must be a positive integer, not ${JSON.stringify(value)}`);
}

/** The part of a stream's address that names its container. */
export type ContainerQuery = { readonly appId: number } | { readonly container: string };

/** Return the application or the container that options name, or throw a TypeError. */
export function checkContainer(options: {
  readonly appId?: number | undefined;
  readonly container?: string | undefined;
}): ContainerQuery {
  const { appId, container } = options;
  if (appId !== undefined && container !== undefined) {
    throw new TypeError('appId and container exclude each other: give one of them');
  }
  if (container === undefined) return { appId: checkId('appId', appId) };
  if (typeof container === 'string' && container !== '') return { container };
  throw new TypeError(`container must be a container's name, not ${JSON.stringify(container)}`);
}

/** Return a count, or throw a TypeError that names what is wrong with it. */
export function checkCount(name: string, value: number | undefined): number | undefined {
  if (value === undefined || (Number.isSafeInteger(value) && value >= 0)) return value;
  throw new TypeError(`${name} must be an integer of 0 or more, not ${JSON.stringify(value)}`);
}
