import { useContainerLogs } from '@mist/react';

/** What somebody has written around the hook of the WebSocket page. */
export function Log({ appId }: { appId: number }) {
  const { logs, status, error } = useContainerLogs(appId);
  const last: string | undefined = logs[logs.length - 1];
  return (
    <section>
      <p role="status">{status}</p>
      <p role="alert">{error}</p>
      <p id="last">{last}</p>
      <pre>{logs.join('\n')}</pre>
    </section>
  );
}
