/**
 * The root of the service, including the path prefix of a proxy. The page's scripts are
 * in `assets/` directly below it; the development server has it at `/`.
 */
const ROOT = import.meta.env.DEV ? new URL('/', location.href) : rootOf(import.meta.url);

export const root = (): URL => ROOT;

function rootOf(script: string): URL {
  return new URL('..', script);
}
