import { expectTypeOf, test } from 'vitest';
import { WebSocket as WsWebSocket } from 'ws';
import type {
  ContainerLogs,
  ContainerLogsOptions,
  ContainerStatus,
  LogLine,
  MergedLogs,
  WebSocketConstructor,
} from '../src/index.ts';

test('the WebSockets of browsers and of "ws" fit', () => {
  expectTypeOf(WsWebSocket).toExtend<WebSocketConstructor>();
  expectTypeOf<typeof globalThis.WebSocket>().toExtend<WebSocketConstructor>();
  expectTypeOf({ appId: 1, WebSocket: WsWebSocket }).toExtend<ContainerLogsOptions>();
});

test('events have the type that their name says', () => {
  type On = Parameters<typeof on>;
  const on = (logs: ContainerLogs, merged: MergedLogs) => {
    logs.on('lines', ({ lines }) => expectTypeOf(lines).toEqualTypeOf<readonly LogLine[]>());
    logs.on('status', ({ data }) => expectTypeOf(data).toEqualTypeOf<ContainerStatus>());
    merged.on('end', ({ source }) => expectTypeOf(source).toEqualTypeOf<string>());
    // @ts-expect-error: there is no such event
    logs.on('line', () => {});
  };
  expectTypeOf<On>().not.toBeAny();
});
