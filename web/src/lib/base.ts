/**
 * The root of the service, also where a proxy puts a path in front of it. The page's scripts
 * lie in `assets/` right below it; the development server has it at `/`.
 */
const ROOT = import.meta.env.DEV ? new URL('/', location.href) : rootOf(import.meta.url);

export const root = (): URL => ROOT;

function rootOf(script: string): URL {
  return new URL('..', script);
}
