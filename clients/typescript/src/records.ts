/** The requests and responses of the HTTP API (docs/http-api.md). */

import type { ConnectOptions, DeploymentStage, DeploymentState } from './types.ts';

export interface Identity {
  readonly user_id: number | null;
  readonly email: string;
  readonly role: 'admin' | 'user';
  /** Null for a token that does not expire. */
  readonly expires_at: string | null;
  /** True after a sign-in with a one-time password: nothing else works before it is replaced. */
  readonly must_change_password: boolean;
}

export interface App {
  readonly id: number;
  readonly name: string;
  readonly container: string;
  readonly git_url: string | null;
  readonly branch: string | null;
  readonly dockerfile: string;
  readonly port: number | null;
  /** The names of the environment variables; their values are not shown. */
  readonly env: readonly string[];
  readonly restart_policy: string;
  readonly project_id: number | null;
  readonly created_at: string;
  /** `NAME:/path[:ro]`. */
  readonly volumes: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly networks: readonly string[];
  /** Bytes. */
  readonly memory: number | null;
  readonly cpus: number | null;
  readonly command: readonly string[] | null;
  readonly build: { readonly memory: number | null; readonly cpus: number | null };
  /** Whether the application has a webhook. */
  readonly hook: boolean;
  /** Who asked for the removal of the application, which then is about to go. */
  readonly removed_by: string | null;
  readonly removal_problem: string;
  /** What the user may do: a viewer looks, a deployer also deploys, cancels and rolls back. */
  readonly right: 'viewer' | 'deployer';
}

export interface NewApp {
  readonly name: string;
  readonly container?: string;
  readonly git_url?: string;
  readonly branch?: string;
  readonly dockerfile?: string;
  readonly port?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly restart_policy?: string;
  readonly project?: string;
  readonly volumes?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly networks?: readonly string[];
  readonly memory?: number | string;
  readonly cpus?: number;
  readonly command?: readonly string[] | string;
  readonly build?: { readonly memory?: number | string; readonly cpus?: number };
}

export interface Deployment {
  readonly id: number;
  readonly app_id: number;
  readonly status: DeploymentState;
  readonly stage: DeploymentStage;
  readonly progress: number;
  readonly message: string;
  readonly error_message: string;
  readonly commit_hash: string | null;
  readonly commit_message: string | null;
  readonly image: string | null;
  readonly created_by: string;
  readonly rollback_to: number | null;
  readonly cancelled_by: string | null;
  readonly created_at: string;
  readonly started_at: string | null;
  readonly finished_at: string | null;
}

export interface RequestOptions {
  readonly signal?: AbortSignal;
}

export interface ClientOptions extends ConnectOptions {
  /** The time limit for a response, in milliseconds; 20,000 by default. */
  readonly timeout?: number;
  /** Called with every response of the service, for instance to read its `Date` header. */
  readonly onResponse?: (response: Response) => void;
}
