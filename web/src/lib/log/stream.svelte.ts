/** One log, or several merged: from the service to a buffer and a view, and its state in words. */

import { api, type Deployment } from '../api';
import { serverNow } from '../clock';
import { finished, summary } from '../deployments';
import { count, plural } from '../format';
import { openLogs, type LogSink, type StreamState } from '../streams';
import { LogBuffer } from './buffer';
import { type Entry, lineEntry, type MarkKind, markEntry, type RawLine } from './entry';
import { LogView } from './view';

/** What is asked for at first: as far as the service's replay buffer reaches by default. */
const TAIL = 1000;
/** Lines are taken in together, at most so often. */
const GATHER_MS = 33;
/** How long the state says that the stream was resumed, or that lines were skipped. */
const NEWS_MS = 10_000;
/** A line older than this is no news: the stream is catching up. */
const BEHIND_MS = 3000;
const BEHIND_FOR_MS = 400;
/** How often an unfinished deployment is looked at. */
const DEPLOYMENT_MS = 2000;
/** Held while one reads, so that what one reads is not pushed out: this many times the bounds. */
const PAUSED_FACTOR = 2;

export interface ContainerState {
  readonly state: string;
  readonly status: string;
}

export class LogStream {
  readonly buffer = new LogBuffer();
  readonly view = new LogView(this.buffer);
  readonly apps: readonly number[];

  stream: StreamState = $state('connecting');
  reason = $state('');
  code = $state(0);
  paused = $state(false);
  /** Lines that came since the pause. */
  fresh = $state(0);
  held = $state(0);
  /** Lines a second, lately. */
  rate = $state(0);
  containers: Record<number, ContainerState> = $state({});
  /** Since when there is no connection, by this computer's clock; 0 while there is one. */
  downSince = $state(0);
  #skipped = $state(0);
  #news: '' | 'resumed' | 'skipped' = $state('');
  #catchingUp = $state(false);

  #close: () => void = () => {};
  #incoming: Entry[] = [];
  #order = 0;
  #timer = 0;
  #newsTimer = 0;
  #lastFlush = 0;
  #behindSince = 0;
  #recent: { at: number; lines: number }[] = [];
  /** Deployments that have no mark yet. */
  #deployments = new Map<number, Deployment>();
  #marked = new Set<number>();
  #polls = new Map<number, number>();
  #closed = false;

  constructor(apps: readonly number[]) {
    this.apps = apps;
    this.open();
    for (const app of apps) void this.#lookAtDeployments(app);
  }

  /** Connect, at first or again after an end: what is held stays. */
  open(): void {
    this.#close();
    this.#close = openLogs(this.apps, { tail: TAIL, since: this.#lastTimes() }, this.#sink());
  }

  close(): void {
    this.#closed = true;
    this.#close();
    this.view.close();
    clearTimeout(this.#timer);
    clearTimeout(this.#newsTimer);
    for (const timer of this.#polls.values()) clearTimeout(timer);
  }

  /** The state as the page shows it. */
  get text(): string {
    if (this.stream === 'connecting') return 'CONNECTING…';
    if (this.stream === 'reconnecting') return 'RECONNECTING…';
    if (this.stream === 'ended') return 'ENDED';
    if (this.stream === 'failed') return this.held > 0 ? 'ENDED' : 'NOT CONNECTED';
    if (this.paused) return `PAUSED · ${count(this.fresh)} new`;
    if (this.#news === 'skipped') return `${plural(this.#skipped, 'line')} skipped`;
    if (this.#news === 'resumed') return 'RECONNECTED · nothing missed';
    return this.#catchingUp ? 'CATCHING UP' : 'LIVE';
  }

  pause(paused: boolean): void {
    if (paused === this.paused) return;
    this.paused = paused;
    this.fresh = 0;
    if (!paused) this.#trim();
  }

  /** Forget everything before a place. */
  clear(before: number): void {
    this.buffer.dropBefore(before);
    this.view.shrink();
    this.held = this.buffer.length;
  }

  #sink(): LogSink {
    return {
      state: (state, reason, code) => this.#turn(state, reason, code),
      lines: (lines) => this.#take(lines),
      status: (app, state, status, time) => this.#status(app, { state, status }, time),
      skipped: (app, lines, time) => {
        this.#skipped = lines;
        this.#tell('skipped');
        this.#mark('gap', time, `${plural(lines, 'line')} skipped`, app);
      },
      resumed: () => {
        // Lines that were skipped on the way back are the more important news.
        if (this.#news !== 'skipped') this.#tell('resumed');
      },
    };
  }

  #turn(state: StreamState, reason: string, code: number): void {
    const was = this.stream;
    this.stream = state;
    this.reason = reason;
    this.code = code;
    const down = state === 'connecting' || state === 'reconnecting';
    this.downSince = down ? this.downSince || Date.now() : 0;
    if (state === 'reconnecting' && was === 'live') this.#news = '';
    if (state === 'ended') this.#mark('end', this.#now(), reason || 'Log stream ended');
  }

  #tell(news: 'resumed' | 'skipped'): void {
    this.#news = news;
    clearTimeout(this.#newsTimer);
    this.#newsTimer = window.setTimeout(() => {
      this.#news = '';
    }, NEWS_MS);
  }

  #take(lines: readonly RawLine[]): void {
    for (const line of lines) {
      this.#order += 1;
      this.#incoming.push(lineEntry(this.#order, line));
    }
    this.#schedule();
  }

  #status(app: number, now: ContainerState, time: string): void {
    const before = this.containers[app];
    this.containers[app] = now;
    // The first status of every connection repeats what is known.
    if (before === undefined || (this.#news === 'resumed' && before.state === now.state)) return;
    const runs = now.state === 'running';
    const again = runs && before.state === 'running' ? 'restarted' : 'started';
    const what = runs ? again : now.state;
    this.#mark(runs ? 'start' : 'end', time, `container ${what} · ${now.status}`, app);
    void this.#lookAtDeployments(app);
  }

  #mark(kind: MarkKind, time: string, text: string, app = 0): void {
    this.#order += 1;
    this.#incoming.push(markEntry(this.#order, kind, time, text, app));
    this.#schedule();
  }

  #schedule(): void {
    if (this.#timer !== 0 || this.#closed) return;
    const wait = Math.max(0, this.#lastFlush + GATHER_MS - performance.now());
    this.#timer = window.setTimeout(() => this.#flush(), wait);
  }

  #flush(): void {
    this.#timer = 0;
    this.#lastFlush = performance.now();
    const entries = this.#incoming;
    this.#incoming = [];
    const lines = entries.reduce((sum, { kind }) => sum + (kind === 'line' ? 1 : 0), 0);
    this.buffer.append(entries);
    if (this.paused) this.fresh += lines;
    this.#note(lines, entries[entries.length - 1]?.ms ?? 0);
    this.#trim();
    this.view.grow();
    this.held = this.buffer.length;
    this.#placeDeployments();
  }

  #trim(): void {
    if (this.buffer.trim(this.paused ? PAUSED_FACTOR : 1) > 0) this.view.shrink();
  }

  /** Keep the figures: lines a second, and whether the newest line is an old one. */
  #note(lines: number, newest: number): void {
    const now = performance.now();
    this.#recent.push({ at: now, lines });
    while ((this.#recent[0]?.at ?? now) < now - 2000) this.#recent.shift();
    this.rate = this.#recent.reduce((sum, each) => sum + each.lines, 0) / 2;
    const behind = lines > 0 && serverNow() - newest > BEHIND_MS;
    if (!behind) this.#behindSince = 0;
    else if (this.#behindSince === 0) this.#behindSince = now;
    this.#catchingUp = behind && now - this.#behindSince > BEHIND_FOR_MS;
  }

  /** Let figures fall to nothing when nothing comes any more. */
  idle(): void {
    if (this.#timer === 0 && performance.now() - this.#lastFlush > 1000) this.#note(0, 0);
  }

  async #lookAtDeployments(app: number): Promise<void> {
    clearTimeout(this.#polls.get(app));
    let list: readonly Deployment[] = [];
    try {
      list = await api.deployments(app, 20);
    } catch {
      // Marks are an extra: a log is shown without them too.
    }
    if (this.#closed) return;
    for (const each of list) {
      if (finished(each) && !this.#marked.has(each.id)) this.#deployments.set(each.id, each);
    }
    this.#placeDeployments();
    if (list.some((each) => !finished(each))) {
      const again = window.setTimeout(() => void this.#lookAtDeployments(app), DEPLOYMENT_MS);
      this.#polls.set(app, again);
    }
  }

  #placeDeployments(): void {
    const oldest = this.buffer.at(0)?.ms;
    if (oldest === undefined || this.#deployments.size === 0) return;
    let placed = false;
    for (const [id, each] of this.#deployments) {
      const time = each.finished_at;
      if (time === null || Date.parse(time) < oldest) continue;
      this.#deployments.delete(id);
      this.#marked.add(id);
      const kind = each.status === 'success' ? 'deployment' : 'gap';
      const mark = markEntry(0, kind, time, summary(each), each.app_id);
      placed = this.buffer.insert(mark) || placed;
    }
    if (placed) this.view.rebuild();
  }

  #lastTimes(): Record<number, string> {
    const times: Record<number, string> = {};
    for (const { kind, app, time } of this.buffer) if (kind === 'line') times[app] = time;
    return times;
  }

  #now(): string {
    return new Date(serverNow()).toISOString();
  }
}
