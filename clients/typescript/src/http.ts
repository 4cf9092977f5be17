/** The HTTP API. */

import { deployment } from './deployment.ts';
import { containerLogs } from './logs.ts';
import { metrics } from './metrics.ts';
import type {
  App,
  ClientOptions,
  Deployment,
  Identity,
  NewApp,
  RequestOptions,
} from './records.ts';
import { Service } from './service.ts';
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

/** A stream's options but for where the service is. */
type Own<O> = Omit<O, keyof ConnectOptions>;

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

  containerLogs(options: Own<ContainerLogsOptions>): ContainerLogs;
  followDeployment(options: Own<DeploymentOptions>): DeploymentStream;
  metrics(options?: Own<MetricsOptions>): MetricsStream;
}

interface Call extends RequestOptions {
  readonly body?: unknown;
  readonly query?: Readonly<Record<string, number | undefined>>;
}

/** What every response of the API is. */
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

  containerLogs(options: Own<ContainerLogsOptions>): ContainerLogs {
    return containerLogs({ ...this.#connect(), ...options });
  }

  followDeployment(options: Own<DeploymentOptions>): DeploymentStream {
    return deployment({ ...this.#connect(), ...options });
  }

  metrics(options: Own<MetricsOptions> = {}): MetricsStream {
    return metrics({ ...this.#connect(), ...options });
  }

  #connect(): ConnectOptions {
    const { timeout, onResponse, ...connect } = this.#options;
    return connect;
  }

  async #call<T>(method: string, path: string, call: Call = {}): Promise<T> {
    const { response, text } = await this.#send(method, `api/${path}`, call);
    const envelope = parse(text);
    if (response.ok && envelope !== null) return envelope.data as T;
    const wait = Number(response.headers.get('Retry-After'));
    throw new ApiError(
      response.status,
      envelope?.message || `The service answered with an error (HTTP status ${response.status})`,
      wait > 0 ? wait : null,
    );
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
      // The caller's own abort is not an answer of the service.
      signal?.throwIfAborted();
      const message = late.aborted
        ? 'The service takes too long to answer'
        : 'The service cannot be reached';
      throw new ApiError(0, message, null, error);
    }
  }
}

/** `AbortSignal.any`, which Node has since 20.3 and Safari since 17.4. */
function either(first: AbortSignal, second: AbortSignal): AbortSignal {
  const both = new AbortController();
  for (const signal of [first, second]) {
    const abort = () => both.abort(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true, signal: both.signal });
  }
  return both.signal;
}

/** Return the envelope of an answer; null for what a proxy made up. */
function parse(text: string): Envelope | null {
  try {
    const found = JSON.parse(text) as Partial<Envelope> | null;
    return typeof found?.message === 'string' && 'data' in found ? (found as Envelope) : null;
  } catch {
    return null;
  }
}

/** Return a client; nothing is sent before a method is called. */
export function createClient(options: ClientOptions = {}): Client {
  return new HttpClient(options);
}
