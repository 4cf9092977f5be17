/**
 * Where the page stands. Every address of it is one segment deep (`./`, `./log?app=3`), so
 * the folder of the current address is the root, also behind a proxy that adds a path.
 */

export const root = (): URL => new URL('.', location.href.replace(/[?#].*$/s, ''));

/** Return the address of something of the service: `at('api/apps')`. */
export const at = (path: string): string => new URL(path, root()).href;

/** The same for a WebSocket route. */
export const socketRoot = (): string => root().href.replace(/^http/, 'ws');
