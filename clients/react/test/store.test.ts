import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Store, type View } from '../src/store.ts';

interface Counted extends View {
  readonly count: number;
}

/** A store whose stream is what a test makes of it. */
class Counter extends Store<Counted> {
  opened = 0;
  closed = 0;
  reconnected = 0;
  reason: { code: 'closed' | 'ended'; message: string } | null = null;
  wrong = false;

  constructor() {
    super({ count: 0 }, true);
  }

  count() {
    this.change({ count: this.view.count + 1 });
  }

  protected open() {
    if (this.wrong) throw new TypeError('appId is wrong');
    this.opened += 1;
    const store = this;
    return {
      get reason() {
        return store.reason;
      },
      close: () => {
        this.closed += 1;
        this.reason ??= { code: 'closed', message: '' };
      },
      reconnect: () => {
        this.reconnected += 1;
        this.reason = null;
      },
    };
  }

  protected failed(error: string): Partial<Counted> {
    return { error, connection: 'failed' };
  }
}

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

test('all changes of one frame are shown together', () => {
  const store = new Counter();
  const listener = vi.fn();
  store.subscribe(listener);
  for (let turn = 0; turn < 5; turn += 1) store.count();
  expect(listener).not.toHaveBeenCalled();
  expect(store.shown().count).toBe(0);
  vi.runAllTimers();
  expect(listener).toHaveBeenCalledOnce();
  expect(store.shown().count).toBe(5);
});

test('a view stays the same object until it changes', () => {
  const store = new Counter();
  store.subscribe(() => {});
  const view = store.shown();
  expect(view).toBe(store.initial());
  vi.runAllTimers();
  expect(store.shown()).toBe(view);
});

test('one stream, closed with the last subscription and taken up with the next', () => {
  const store = new Counter();
  const stops = [store.subscribe(() => {}), store.subscribe(() => {})];
  stops[0]?.();
  expect([store.opened, store.closed]).toEqual([1, 0]);
  stops[1]?.();
  store.count();
  expect([store.opened, store.closed, vi.getTimerCount()]).toEqual([1, 1, 0]);
  store.subscribe(() => {});
  expect([store.opened, store.reconnected]).toEqual([1, 1]);
  expect(store.shown().count).toBe(1);
});

test('what has ended by itself is not taken up again', () => {
  const store = new Counter();
  store.subscribe(() => {})();
  store.reason = { code: 'ended', message: '' };
  store.subscribe(() => {});
  expect(store.reconnected).toBe(0);
  store.shown().reconnect();
  expect(store.reconnected).toBe(1);
});

test('wrong options are an error of the view', () => {
  const store = new Counter();
  store.wrong = true;
  store.subscribe(() => {});
  expect(store.shown()).toMatchObject({ error: 'appId is wrong', connection: 'failed' });
});
