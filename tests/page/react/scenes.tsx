import {
  type UseContainerLogsOptions,
  type UseDeploymentOptions,
  type UseMetricsOptions,
  useContainerLogs,
  useDeployment,
  useMetrics,
} from '@mist/react';
import { useEffect } from 'react';

/** Every view that was shown, the newest last. */
export const views: unknown[] = [];

function useRecord(view: unknown): null {
  useEffect(() => {
    views.push(view);
  }, [view]);
  return null;
}

type Of<I extends string, O> = O & { readonly [name in I]: number | null };

export function Logs({ appId, ...options }: Of<'appId', UseContainerLogsOptions>) {
  return useRecord(useContainerLogs(appId, options));
}

export function Deployment({
  deploymentId,
  ...options
}: Of<'deploymentId', UseDeploymentOptions>) {
  return useRecord(useDeployment(deploymentId, options));
}

export function Metrics(options: UseMetricsOptions) {
  return useRecord(useMetrics(options));
}
