import { ApiError, type OlderLinesOptions } from '@mist/client';
import { expect, test, vi } from 'vitest';

let waits = 1;

vi.mock('../src/lib/api', () => ({
  reasonOf: (error: Error) => error.message,
  api: {
    olderLines: async ({ appId }: OlderLinesOptions, signal: AbortSignal) => {
      signal.throwIfAborted();
      if (appId === 1) throw new ApiError(500, 'Out of order');
      waits -= 1;
      if (waits >= 0) throw new ApiError(429, 'Too many readers', 0.05);
      return { changes: [], end: { message: '', reached: '' }, async *[Symbol.asyncIterator]() {} };
    },
  },
}));
vi.stubGlobal('window', globalThis);

const { WholeSearch } = await import('../src/lib/log/whole.svelte');
const { NO_FILTER } = await import('../src/lib/log/filter');
const { NO_QUERY } = await import('../src/lib/log/search');

test('a search that fails says why, also after another log has waited for its turn', async () => {
  const search = new WholeSearch([1, 2], { ...NO_QUERY, terms: ['x'] }, NO_FILTER);
  await vi.waitFor(() => expect(search.running).toBe(false));
  expect(search.problem).toBe('Out of order');
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(search.problem).toBe('Out of order');
  search.close();
});
