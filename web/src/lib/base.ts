/**
 * Where the page stands. Every address of it is one segment deep (`./`, `./log?app=3`), so
 * the folder of the current address is the root, also behind a proxy that adds a path.
 */

export const root = (): URL => new URL('.', location.href.replace(/[?#].*$/s, ''));
