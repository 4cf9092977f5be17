/**
 * One logical connection: a WebSocket that is replaced when it is lost.
 *
 * A browser does not expose pings to scripts, so a quiet connection and a dead one look
 * alike. After some quiet time the client opens a second WebSocket next to the first. If
 * the second one receives a message first, it takes over and delivers what the first had
 * missed. If it cannot be opened, the first is considered dead.
 */

import { Backoff } from './backoff.ts';
import { explain } from './close-codes.ts';
import { Link, type Message } from './link.ts';
import type { Diagnosis } from './service.ts';
import type {
  BackoffOptions,
  Environment,
  Reason,
  ReasonCode,
  StreamState,
  WebSocketLike,
} from './types.ts';

/** The interval between two looks at the clock, in milliseconds. */
const TICK_MS = 5000;
/** Browsers run the timers of a hidden page once a minute; after a longer gap, it was asleep. */
const SLEEP_MS = 75_000;
/** A connection that received a message within this time needs no check, in milliseconds. */
const FRESH_MS = 2000;
/** After a connection was live for this long, the next delay is the shortest one again. */
const STABLE_MS = 1000;
const LONGEST_QUIET_MS = 120_000;
/** A second WebSocket must receive a message within this time; the service gives up after 15 s. */
const CHECK_MS = 20_000;

const ABNORMAL = 1006;

/** The callbacks from a connection to the stream that it serves. */
export interface Session {
  /** Open the next WebSocket; it continues at the current position of the stream. */
  open(): WebSocketLike;
  opened(again: boolean): void;
  /**
   * A new WebSocket received its first message: the next messages come from it.
   * `downtime` is how long there was none, in milliseconds; `null` at first, and where
   * it took over from one that was still open.
   */
  joined(downtime: number | null): void;
  message(message: Message): void;
  /** Return true if the service has sent everything. */
  readonly complete: boolean;
  changed(state: StreamState, reason: Reason | null, retryIn?: number): void;
  /** Find out why a handshake failed, because browsers do not say. */
  diagnose(): Promise<Diagnosis>;
}

const WORDS: Readonly<Record<'ended' | 'closed' | 'silent' | 'refused' | 'unauthorized', string>> =
  {
    ended: 'The stream has ended',
    closed: 'The stream was closed',
    silent: 'The connection was silent for too long',
    refused:
      'The service answers, but refuses the WebSocket: a proxy may not pass it on, ' +
      'or the origin of this page is not allowed (server.allowed_origins)',
    unauthorized: 'Not signed in',
  };

const because = (code: ReasonCode & keyof typeof WORDS): Reason => ({ code, message: WORDS[code] });

export class Connection {
  state: StreamState = 'connecting';
  reason: Reason | null = null;
  readonly #session: Session;
  readonly #environment: Environment;
  readonly #backoff: Backoff;
  readonly #quietAfter: number;
  #quiet: number;
  #link: Link | null = null;
  #check: Link | null = null;
  #wasOpen = false;
  #wasLive = false;
  #liveSince = 0;
  #lostAt: number | null = null;
  #heardAt = 0;
  #tickedAt = 0;
  #cancelAttempt: (() => void) | null = null;
  #cancelTick = () => {};
  #cancelCheckTimeout = () => {};
  #ignoreWake = () => {};

  constructor(
    session: Session,
    environment: Environment,
    options: { readonly backoff?: Partial<BackoffOptions>; readonly quietAfter: number },
  ) {
    this.#session = session;
    this.#environment = environment;
    this.#backoff = new Backoff(() => environment.random(), options.backoff);
    this.#quietAfter = options.quietAfter;
    this.#quiet = options.quietAfter;
  }

  /** Connect or reconnect; do nothing while there is a connection. */
  start(): void {
    if (this.#link !== null) return;
    const over = this.state === 'ended' || this.state === 'failed';
    this.#stopAll();
    this.#backoff.reset();
    this.#watch();
    if (over) this.#change(this.#down(), null);
    this.#attempt();
  }

  stop(): void {
    if (this.state !== 'ended' && this.state !== 'failed') this.#end('ended', because('closed'));
  }

  // ------------------------------------------------------------------ attempts

  #attempt(): void {
    this.#cancelAttempt = null;
    try {
      this.#link = this.#newLink();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#end('failed', { code: 'refused', message });
    }
  }

  #newLink(): Link {
    const link: Link = new Link(() => this.#session.open(), this.#environment, {
      opened: () => this.#opened(link),
      message: (message) => this.#message(link, message),
      closed: (code, reason) => this.#closed(link, code, reason),
    });
    return link;
  }

  #opened(link: Link): void {
    if (link !== this.#link) return;
    this.#heardAt = this.#environment.now();
    this.#session.opened(this.#wasOpen);
    this.#wasOpen = true;
  }

  #message(link: Link, message: Message): void {
    if (message.type === 'error') link.error = textOf(message.data);
    if (link === this.#check) {
      // An error does not prove that the stream continues here; the close that follows does.
      if (message.type === 'error') return;
      this.#takeOver(link);
    }
    const now = this.#environment.now();
    this.#heardAt = now;
    this.#dropCheck();
    if (!link.spoke && message.type !== 'error') this.#join(link, now);
    // A listener may have closed the stream when it became live.
    if (link !== this.#link) return;
    this.#session.message(message);
    if (link === this.#link && this.#session.complete) this.#end('ended', because('ended'));
  }

  #join(link: Link, now: number): void {
    link.spoke = true;
    this.#session.joined(this.#lostAt === null ? null : now - this.#lostAt);
    this.#lostAt = null;
    this.#wasLive = true;
    if (this.state === 'live') return;
    this.#liveSince = now;
    this.#change('live', null);
  }

  // -------------------------------------------------------------------- losses

  #closed(link: Link, closeCode: number, said: string): void {
    if (link === this.#check) this.#checkFailed(link, closeCode, said);
    else if (link === this.#link) this.#lost(link, closeCode, said);
  }

  #lost(link: Link, closeCode: number, said: string): void {
    this.#forgetLinks();
    const { reason, final } = explain(closeCode, link.error || said);
    if (final) this.#end('failed', reason);
    else this.#retry(reason, link.opened);
  }

  #retry(reason: Reason, wasOpen: boolean): void {
    const now = this.#environment.now();
    if (this.state === 'live') {
      this.#lostAt = now;
      if (now - this.#liveSince >= STABLE_MS) this.#backoff.reset();
    }
    this.#quiet = this.#quietAfter;
    const restarts = reason.code === 'restarting';
    const pause = restarts ? this.#backoff.afterRestart() : this.#backoff.next();
    this.#cancelAttempt = this.#environment.later(() => this.#attempt(), pause);
    this.#change(this.#down(), reason, pause);
    if (!wasOpen) void this.#diagnose();
  }

  async #diagnose(): Promise<void> {
    const diagnosis = await this.#session.diagnose();
    // Meanwhile, the next attempt may have succeeded, or the stream may have ended.
    if (this.state !== 'connecting' && this.state !== 'reconnecting') return;
    if (this.#link?.opened) return;
    if (diagnosis === 'unauthorized') this.#end('failed', because('unauthorized'));
    if (diagnosis === 'reachable') this.#explain({ code: 'network', message: WORDS.refused });
  }

  /** Add a reason to a state that does not change. */
  #explain(reason: Reason): void {
    if (this.reason?.message !== reason.message) this.#change(this.state, reason);
  }

  // -------------------------------------------------------------------- checks

  #watch(): void {
    this.#tickedAt = this.#environment.now();
    this.#heardAt = this.#tickedAt;
    this.#tickLater();
    this.#ignoreWake = this.#environment.onWake(() => this.#wake());
  }

  #tickLater(): void {
    const pause = Math.min(TICK_MS, this.#quietAfter / 2);
    this.#cancelTick = this.#environment.later(() => this.#tick(), pause);
  }

  #tick(): void {
    const now = this.#environment.now();
    const gap = now - this.#tickedAt;
    this.#tickedAt = now;
    this.#tickLater();
    // A clock that was set back would make the connection look fresh for a long time.
    this.#heardAt = Math.min(this.#heardAt, now);
    if (gap > SLEEP_MS) this.#wake();
    else if (now - this.#heardAt >= this.#quiet) this.#checkLink();
  }

  /** The network, or the computer, may just be back. */
  #wake(): void {
    if (this.#cancelAttempt !== null) this.start();
    else if (this.#environment.now() - this.#heardAt >= FRESH_MS) this.#checkLink();
  }

  #checkLink(): void {
    if (this.#check !== null || !this.#link?.opened) return;
    try {
      const check = this.#newLink();
      this.#check = check;
      const giveUp = () => this.#checkFailed(check, ABNORMAL, '');
      this.#cancelCheckTimeout = this.#environment.later(giveUp, CHECK_MS);
    } catch {
      // The first one was opened with the same address, so this failure proves nothing.
    }
  }

  #takeOver(link: Link): void {
    this.#link?.close();
    this.#link = link;
    this.#check = null;
    this.#cancelCheckTimeout();
    this.#quiet = Math.min(2 * this.#quiet, LONGEST_QUIET_MS);
  }

  #checkFailed(link: Link, closeCode: number, said: string): void {
    this.#dropCheck();
    const { reason, final } = explain(closeCode, link.error || said);
    if (reason.code === 'unavailable' && link.opened) {
      // The service answers but cannot accept another connection; this does not concern the first.
      this.#heardAt = this.#environment.now();
      return;
    }
    this.#forgetLinks();
    if (final) this.#end('failed', reason);
    else this.#retry(because('silent'), link.opened);
  }

  // ----------------------------------------------------------------------- end

  /** Return `reconnecting` only if there was a connection to lose. */
  #down(): StreamState {
    return this.#wasLive ? 'reconnecting' : 'connecting';
  }

  #end(state: 'ended' | 'failed', reason: Reason): void {
    this.#stopAll();
    this.#lostAt ??= this.#environment.now();
    this.#change(state, reason);
  }

  #stopAll(): void {
    this.#cancelTick();
    this.#ignoreWake();
    this.#forgetLinks();
  }

  #forgetLinks(): void {
    this.#cancelAttempt?.();
    this.#cancelAttempt = null;
    this.#link?.close();
    this.#link = null;
    this.#dropCheck();
  }

  #dropCheck(): void {
    this.#cancelCheckTimeout();
    this.#check?.close();
    this.#check = null;
  }

  #change(state: StreamState, reason: Reason | null, retryIn?: number): void {
    this.state = state;
    this.reason = reason;
    this.#session.changed(state, reason, retryIn);
  }
}

function textOf(data: unknown): string {
  const message = (data as { readonly message?: unknown } | null | undefined)?.message;
  return typeof message === 'string' ? message : '';
}
