import { createElement } from 'react';
import { renderToString } from 'react-dom/server';
import { expect, test, vi } from 'vitest';
import { useContainerLogs, useDeployment, useMetrics } from '../src/index.ts';

function render(component: () => string): string {
  const WebSocket = vi.fn();
  vi.stubGlobal('WebSocket', WebSocket);
  const html = renderToString(createElement(component));
  vi.unstubAllGlobals();
  expect(WebSocket).not.toHaveBeenCalled();
  return html;
}

test.each([
  [1, 'connecting', 'connecting'],
  [null, 'idle', 'ended'],
  // Shown as an error once it runs in a page.
  [Number.NaN, 'connecting', 'connecting'],
])('on the server, the log of %s is %s', (appId, status, connection) => {
  const html = render(() => {
    const view = useContainerLogs(appId, { tail: 5 });
    expect(view).toMatchObject({ logs: [], lines: [], error: null, connection, missing: 0 });
    return view.status;
  });
  expect(html).toBe(status);
});

test('on the server, a deployment has not begun', () => {
  expect(render(() => `${useDeployment(7).progress} ${useDeployment(null).status}`)).toBe('0 idle');
});

test('on the server, there are no metrics', () => {
  expect(render(() => JSON.stringify(useMetrics({ history: 60 }).metrics))).toBe('null');
});
