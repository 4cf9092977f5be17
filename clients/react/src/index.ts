/** The public interface of `@mist/react`. */

export { type DeploymentView, type UseDeploymentOptions, useDeployment } from './deployment.ts';
export { type ContainerLogsView, type UseContainerLogsOptions, useContainerLogs } from './logs.ts';
export { type MetricsView, type UseMetricsOptions, useMetrics } from './metrics.ts';
export type { View } from './store.ts';
