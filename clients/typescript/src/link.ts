/** One WebSocket of any implementation, from its handshake to its end. */

import type { Environment, WebSocketLike } from './types.ts';

/** How long a handshake may take, in milliseconds. */
const HANDSHAKE_MS = 15_000;
/** How long the closing handshake may take if the socket can be dropped (`ws`). */
const CLOSING_MS = 1000;
const NORMAL = 1000;
const ABNORMAL = 1006;

const ignore = () => {};

/** A message of the service; metrics have no `type`. */
export interface Message {
  readonly type?: unknown;
  readonly timestamp?: unknown;
  readonly data?: unknown;
}

export interface LinkHandlers {
  opened(): void;
  message(message: Message): void;
  /** Called once, unless `close` was called before. */
  closed(code: number, reason: string): void;
}

/** A WebSocket whose handlers are never called again after `close`. */
export class Link {
  opened = false;
  /** True if the service has sent anything except an error. */
  spoke = false;
  /** The service's last `error` message: the reason for closing. */
  error = '';
  readonly #environment: Environment;
  readonly #socket: WebSocketLike;
  readonly #cancelTimeout: () => void;
  #cancelDrop = ignore;

  /** May throw the error of the WebSocket constructor, for instance for an invalid address. */
  constructor(open: () => WebSocketLike, environment: Environment, handlers: LinkHandlers) {
    this.#environment = environment;
    this.#socket = open();
    this.#cancelTimeout = environment.later(() => {
      this.close();
      handlers.closed(ABNORMAL, '');
    }, HANDSHAKE_MS);
    this.#socket.onopen = () => {
      this.opened = true;
      this.#cancelTimeout();
      handlers.opened();
    };
    this.#socket.onmessage = ({ data }: { readonly data: unknown }) => {
      const message = parse(data);
      if (message !== null) handlers.message(message);
    };
    // The error's text is only for the console, and a close follows every error.
    this.#socket.onerror = ignore;
    this.#socket.onclose = (event: { readonly code?: number; readonly reason?: string }) => {
      this.#cancelTimeout();
      handlers.closed(event.code ?? ABNORMAL, event.reason ?? '');
    };
  }

  close(): void {
    this.#cancelTimeout();
    const socket = this.#socket;
    socket.onopen = ignore;
    socket.onmessage = ignore;
    socket.onclose = () => this.#cancelDrop();
    socket.close(NORMAL);
    this.#dropLater(socket);
  }

  /** If the peer does not answer the close, `ws` would keep the process for half a minute. */
  #dropLater(socket: WebSocketLike & { terminate?: () => void }): void {
    if (socket.terminate === undefined || socket.readyState === 3) return;
    this.#cancelDrop = this.#environment.later(() => socket.terminate?.(), CLOSING_MS);
  }
}

/** Return a message, or null for other data, which a later version of the service may send. */
function parse(data: unknown): Message | null {
  if (typeof data !== 'string') return null;
  try {
    const message: unknown = JSON.parse(data);
    return typeof message === 'object' && message !== null ? message : null;
  } catch {
    return null;
  }
}
