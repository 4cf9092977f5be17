/** The HTTP API. */

import type {
  App,
  ClientOptions,
  Deployment,
  Identity,
  NewApp,
  RequestOptions,
} from './records.ts';
import type {
  ContainerLogs,
  ContainerLogsOptions,
  DeploymentOptions,
  DeploymentStream,
  MetricsOptions,
  MetricsStream,
} from './types.ts';

/** An answer that says no, or none at all. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** The status of the answer; 0 when there was none. */
  readonly status: number;
  /** The seconds to wait before the next attempt, when the service says so (429). */
  readonly retryAfter: number | null;

  constructor(status: number, message: string, retryAfter: number | null = null, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

type Own<O> = Omit<O, keyof ClientOptions>;

/** One service: its HTTP API, and its streams with the same address and headers. */
export interface Client {
  readonly url: string;
  login(email: string, password: string, options?: RequestOptions): Promise<Identity>;
  logout(options?: RequestOptions): Promise<void>;
  /** Who is signed in; an `ApiError` with status 401 if nobody is. */
  me(options?: RequestOptions): Promise<Identity>;
  apps(options?: RequestOptions): Promise<App[]>;
  app(appId: number, options?: RequestOptions): Promise<App>;
  addApp(app: NewApp, options?: RequestOptions): Promise<App>;
  /** Newest first; 50 of them by default, 500 at most. */
  deployments(appId: number, options?: RequestOptions & { limit?: number }): Promise<Deployment[]>;
  deployment(deploymentId: number, options?: RequestOptions): Promise<Deployment>;
  deploy(appId: number, options?: RequestOptions): Promise<Deployment>;
  /** Start the image of an earlier deployment of the application again. */
  rollback(appId: number, deploymentId: number, options?: RequestOptions): Promise<Deployment>;
  /** Ask for the end of a deployment, which then ends as `failed`; does not wait for it. */
  cancel(deploymentId: number, options?: RequestOptions): Promise<Deployment>;
  /** Whether the service answers at all, and if not ready, why. */
  ready(options?: RequestOptions): Promise<{ ready: boolean; message: string }>;

  containerLogs(options: Own<ContainerLogsOptions>): ContainerLogs;
  followDeployment(options: Own<DeploymentOptions>): DeploymentStream;
  metrics(options?: Own<MetricsOptions>): MetricsStream;
}

/** Return a client; nothing is sent before a method is called. */
export function createClient(_options: ClientOptions = {}): Client {
  throw new Error('not written yet');
}
