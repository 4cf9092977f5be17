/** The HTTP API. */

import { ApiError } from './api-error.ts';
import type {
  ContainerStats,
  ContainerStatsOptions,
  ContainersOptions,
  ContainersStream,
} from './container-types.ts';
import { containers } from './containers.ts';
import { deployment } from './deployment.ts';
import { containerLogs } from './logs.ts';
import { metrics } from './metrics.ts';
import { type OlderLines, type OlderLinesOptions, olderAddress, olderLines } from './older.ts';
import type {
  App,
  ClientOptions,
  Deployment,
  Identity,
  NewApp,
  RequestOptions,
} from './records.ts';
import { Service } from './service.ts';
import { containerStats } from './stats.ts';
import type {
  ConnectOptions,
  ContainerLogs,
  ContainerLogsOptions,
  DeploymentOptions,
  DeploymentStream,
  MetricsOptions,
  MetricsStream,
} from './types.ts';

const TIMEOUT_MS = 20_000;

/** A stream's options without the address of the service. */
type Own<O> = Omit<O, keyof ConnectOptions>;

/** A service: its HTTP API, and its streams with the same address and headers. */
export interface Client {
  readonly url: string;
  login(email: string, password: string, options?: RequestOptions): Promise<Identity>;
  logout(options?: RequestOptions): Promise<void>;
  /** Change the user's own password. Every session ends, and this client has a new one. */
  changePassword(
    oldPassword: string,
    newPassword: string,
    options?: RequestOptions,
  ): Promise<Identity>;
  /** Return the signed-in user; throw an `ApiError` with status 401 if there is none. */
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
  /** Request cancellation without waiting for it; the deployment then ends as `failed`. */
  cancel(deploymentId: number, options?: RequestOptions): Promise<Deployment>;

  /**
   * Send any other request of `/api/openapi.json` and return its data:
   * `call('PATCH', 'apps/3', { body: { branch: 'main' } })`.
   */
  call<T>(method: string, path: string, call?: Call): Promise<T>;

  containerLogs(options: Own<ContainerLogsOptions>): ContainerLogs;
  /** Read a range of a log, as far back as the engine has it. */
  olderLines(options: OlderLinesOptions, request?: RequestOptions): Promise<OlderLines>;
  /** Return the address of the same lines as a file, in plain text. */
  olderLinesFile(options: OlderLinesOptions & { readonly timestamps?: boolean }): string;
  followDeployment(options: Own<DeploymentOptions>): DeploymentStream;
  metrics(options?: Own<MetricsOptions>): MetricsStream;
  /** The host's containers, for admins. */
  containers(options?: Own<ContainersOptions>): ContainersStream;
  containerStats(options: Own<ContainerStatsOptions>): ContainerStats;
}

/** The body of a request, sent as JSON, and its query string. */
export interface Call extends RequestOptions {
  readonly body?: unknown;
  readonly query?: Readonly<Record<string, number | undefined>>;
}

/** The envelope of every API response. */
interface Envelope {
  readonly success: boolean;
  readonly message: string;
  readonly data: unknown;
}

class HttpClient implements Client {
  readonly #service: Service;
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#service = new Service(options);
    this.#options = options;
  }

  get url(): string {
    return this.#service.url;
  }

  login(email: string, password: string, options?: RequestOptions): Promise<Identity> {
    return this.#call('POST', 'auth/login', { ...options, body: { email, password } });
  }

  async logout(options?: RequestOptions): Promise<void> {
    await this.#call('POST', 'auth/logout', options);
  }

  changePassword(
    oldPassword: string,
    newPassword: string,
    options?: RequestOptions,
  ): Promise<Identity> {
    const body = { old_password: oldPassword, new_password: newPassword };
    return this.#call('POST', 'auth/password', { ...options, body });
  }

  me(options?: RequestOptions): Promise<Identity> {
    return this.#call('GET', 'auth/me', options);
  }

  apps(options?: RequestOptions): Promise<App[]> {
    return this.#call('GET', 'apps', options);
  }

  app(appId: number, options?: RequestOptions): Promise<App> {
    return this.#call('GET', `apps/${appId}`, options);
  }

  addApp(app: NewApp, options?: RequestOptions): Promise<App> {
    return this.#call('POST', 'apps', { ...options, body: app });
  }

  deployments(
    appId: number,
    { limit, ...options }: RequestOptions & { limit?: number } = {},
  ): Promise<Deployment[]> {
    return this.#call('GET', `apps/${appId}/deployments`, { ...options, query: { limit } });
  }

  deployment(deploymentId: number, options?: RequestOptions): Promise<Deployment> {
    return this.#call('GET', `deployments/${deploymentId}`, options);
  }

  deploy(appId: number, options?: RequestOptions): Promise<Deployment> {
    return this.#call('POST', `apps/${appId}/deployments`, options);
  }

  rollback(appId: number, deploymentId: number, options?: RequestOptions): Promise<Deployment> {
    const body = { rollback_to: deploymentId };
    return this.#call('POST', `apps/${appId}/deployments`, { ...options, body });
  }

  cancel(deploymentId: number, options?: RequestOptions): Promise<Deployment> {
    return this.#call('POST', `deployments/${deploymentId}/cancel`, options);
  }

  call<T>(method: string, path: string, call?: Call): Promise<T> {
    return this.#call(method, path, call);
  }

  containerLogs(options: Own<ContainerLogsOptions>): ContainerLogs {
    return containerLogs({ ...this.#connect(), ...options });
  }

  olderLines(options: OlderLinesOptions, { signal }: RequestOptions = {}): Promise<OlderLines> {
    const check = async (response: Response) => {
      this.#options.onResponse?.(response);
      if (!response.ok) throw failureOf(response, parse(await response.text()));
      return response;
    };
    return olderLines(this.#service, check, options, signal);
  }

  olderLinesFile({
    timestamps,
    ...options
  }: OlderLinesOptions & { readonly timestamps?: boolean }): string {
    const { path, query } = olderAddress(options);
    const more = { format: 'text', download: 1, timestamps: timestamps ? 1 : undefined };
    return this.#service.address(path, { ...query, ...more });
  }

  followDeployment(options: Own<DeploymentOptions>): DeploymentStream {
    return deployment({ ...this.#connect(), ...options });
  }

  metrics(options: Own<MetricsOptions> = {}): MetricsStream {
    return metrics({ ...this.#connect(), ...options });
  }

  containers(options: Own<ContainersOptions> = {}): ContainersStream {
    return containers({ ...this.#connect(), ...options });
  }

  containerStats(options: Own<ContainerStatsOptions>): ContainerStats {
    return containerStats({ ...this.#connect(), ...options });
  }

  #connect(): ConnectOptions {
    const { timeout, onResponse, ...connect } = this.#options;
    return connect;
  }

  async #call<T>(method: string, path: string, call: Call = {}): Promise<T> {
    const { response, text } = await this.#send(method, `api/${path}`, call);
    const envelope = parse(text);
    if (response.ok && envelope !== null) return envelope.data as T;
    throw failureOf(response, envelope);
  }

  async #send(
    method: string,
    path: string,
    { signal, body, query }: Call,
  ): Promise<{ response: Response; text: string }> {
    const late = AbortSignal.timeout(this.#options.timeout ?? TIMEOUT_MS);
    const init: RequestInit = { method, signal: signal ? either(signal, late) : late };
    if (body !== undefined) {
      init.body = JSON.stringify(body);
      init.headers = { 'Content-Type': 'application/json' };
    }
    try {
      const response = await this.#service.request(path, init, query);
      this.#options.onResponse?.(response);
      return { response, text: await response.text() };
    } catch (error) {
      // An abort by the caller is not a response of the service.
      signal?.throwIfAborted();
      const message = late.aborted
        ? 'The service takes too long to answer'
        : 'The service cannot be reached';
      throw new ApiError(0, message, null, error);
    }
  }
}

function failureOf({ status, headers }: Response, envelope: Envelope | null): ApiError {
  const wait = Number(headers.get('Retry-After'));
  const message = envelope?.message || `The service answered with an error (HTTP status ${status})`;
  return new ApiError(status, message, wait > 0 ? wait : null);
}

/** `AbortSignal.any`, which exists since Node 20.3 and Safari 17.4. */
function either(first: AbortSignal, second: AbortSignal): AbortSignal {
  const both = new AbortController();
  for (const signal of [first, second]) {
    const abort = () => both.abort(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true, signal: both.signal });
  }
  return both.signal;
}

/** Return the envelope of a response; null if a proxy generated the response. */
function parse(text: string): Envelope | null {
  try {
    const found = JSON.parse(text) as Partial<Envelope> | null;
    return typeof found?.message === 'string' && 'data' in found ? (found as Envelope) : null;
  } catch {
    return null;
  }
}

/** Return a client; it sends nothing before a method is called. */
export function createClient(options: ClientOptions = {}): Client {
  return new HttpClient(options);
}
