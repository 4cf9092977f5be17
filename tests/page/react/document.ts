import { useEffect, useState } from 'react';

interface LogMessage {
  type: 'log' | 'status' | 'error' | 'end';
  timestamp: string;
  data: any;
}

export function useContainerLogs(appId: number) {
  const [logs, setLogs] = useState<string[]>([]);
  const [status, setStatus] = useState<string>('connecting');
  const [error, setError] = useState<string | null>(null);

  useEffect(() => {
    const ws = new WebSocket(
      `wss://mist.example.com/ws/container/logs?appId=${appId}`
    );

    ws.onopen = () => {
      setStatus('connected');
    };

    ws.onmessage = (event) => {
      const message: LogMessage = JSON.parse(event.data);

      switch (message.type) {
        case 'log':
          setLogs(prev => [...prev, message.data.line]);
          break;
        case 'status':
          setStatus(message.data.state);
          break;
        case 'error':
          setError(message.data.message);
          break;
        case 'end':
          setStatus('ended');
          break;
      }
    };

    ws.onerror = () => {
      setError('WebSocket connection error');
      setStatus('error');
    };

    ws.onclose = () => {
      setStatus('disconnected');
    };

    return () => {
      ws.close();
    };
  }, [appId]);

  return { logs, status, error };
}
