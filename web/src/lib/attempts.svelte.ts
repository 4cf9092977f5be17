/** Changes that a view makes, one after the other, and the newest problem with them. */

import { reasonOf } from './api';
import { confirm, type Question } from './dialogs.svelte';

export interface Attempts {
  readonly problem: string;
  /** Do some work after the work before it, and then reload; a failure becomes `problem`. */
  run(work?: () => Promise<unknown>): Promise<void>;
  /** Do what cannot be undone, if the answer to a question is yes. */
  runIf(question: Question, work: () => Promise<unknown>): Promise<void>;
}

export function attempts(reload: () => Promise<unknown>): Attempts {
  let problem = $state('');
  let last = Promise.resolve();
  const run = (work?: () => Promise<unknown>) => {
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
  };
  return {
    get problem() {
      return problem;
    },
    run,
    async runIf(question, work) {
      if (await confirm({ ...question, danger: true })) await run(work);
    },
  };
}

/** A list of the service, loaded for a component and again after each change that it makes. */
export function listed<T>(all: () => Promise<readonly T[]>) {
  let entries = $state.raw<readonly T[] | null>(null);
  const changing = attempts(async () => {
    entries = await all();
  });
  $effect(() => {
    void changing.run();
  });
  return {
    /** Null until it was loaded. */
    get entries() {
      return entries;
    },
    changing,
  };
}
