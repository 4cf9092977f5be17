/** Changes that a view makes, one after the other, and the newest problem with them. */

import { reasonOf } from './api';

export interface Attempts {
  readonly problem: string;
  /** Do some work after the work before it, and then reload; a failure becomes `problem`. */
  run(work?: () => Promise<unknown>): Promise<void>;
}

export function attempts(reload: () => Promise<unknown>): Attempts {
  let problem = $state('');
  let last = Promise.resolve();
  return {
    get problem() {
      return problem;
    },
    run(work) {
      last = last.then(async () => {
        problem = '';
        try {
          await work?.();
          await reload();
        } catch (error) {
          problem = reasonOf(error);
        }
      });
      return last;
    },
  };
}
