/** The search of a log in its address: `?q=timeout&q=refused&regex=1&filter=1&context=3`. */

import { NO_QUERY, type Query } from './search';

export function queryOf(params: URLSearchParams): Query {
  const context = Number(params.get('context'));
  return {
    ...NO_QUERY,
    terms: params.getAll('q'),
    regex: params.get('regex') === '1',
    matchCase: params.get('case') === '1',
    invert: params.get('invert') === '1',
    filter: params.get('filter') === '1',
    context: Number.isInteger(context) && context > 0 ? Math.min(context, 100) : 0,
  };
}

export function writeQuery(params: URLSearchParams, query: Query): void {
  params.delete('q');
  for (const term of query.terms) if (term !== '') params.append('q', term);
  const flag = (name: string, on: boolean) => (on ? params.set(name, '1') : params.delete(name));
  flag('regex', query.regex);
  flag('case', query.matchCase);
  flag('invert', query.invert);
  flag('filter', query.filter);
  if (query.filter && query.context > 0) params.set('context', String(query.context));
  else params.delete('context');
}

/** Return the engine time of a permalink's `#t=`, or "". */
export function timeOf(hash: string): string {
  const time = new URLSearchParams(hash).get('t') ?? '';
  return Number.isNaN(Date.parse(time)) ? '' : time;
}
