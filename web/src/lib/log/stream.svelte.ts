/** One log or several merged ones: a stream into a buffer and a view, and its state in words. */

import {
  type ContainerLogs,
  type ContainerStatus,
  type ContainerStatusEvent,
  type LogLine,
  type MergedLine,
  type MergedLogs,
  mergeLogs,
  type Reason,
  type StreamState,
} from '@mist/client';
import { api, client, type Deployment } from '../api';
import { serverNow } from '../clock';
import { finished, summary } from '../deployments';
import { count, plural } from '../format';
import { containerOf, optionsOf } from '../sources';
import { LogBuffer } from './buffer';
import { type Entry, lineEntry, type MarkKind, markEntry } from './entry';
import { History } from './history.svelte';
import { changeOf, pastChange } from './status';
import { LogView } from './view';

/** The first request: the default size of the service's replay buffer. */
const TAIL = 1000;
/** How long the state shows that the stream was resumed or that lines were skipped. */
const NEWS_MS = 10_000;
/** If a line is older than this, the stream is catching up. */
const BEHIND_MS = 3000;
const BEHIND_FOR_MS = 400;
/** The marks of live events to remember, and how far the engine's time of one may be off. */
const SEEN = 1000;
const SAME_MS = 5000;
/** The interval between checks of an unfinished deployment. */
const DEPLOYMENT_MS = 2000;
/** How long the last lines of a log may take after its connection is there. */
const TAIL_MS = 1000;
/** The deployments whose marks are shown among live lines, and among older ones. */
const DEPLOYMENTS = 20;
const MORE_DEPLOYMENTS = 500;

export class LogStream {
  readonly buffer = new LogBuffer();
  readonly view = new LogView(this.buffer);
  readonly apps: readonly number[];
  readonly history: History;
  /** Return the position that is being read, while the log is paused. */
  place: () => number = () => Number.POSITIVE_INFINITY;

  stream: StreamState = $state('connecting');
  reason: Reason | null = $state.raw(null);
  paused = $state(false);
  /** Lines that arrived since the pause. */
  fresh = $state(0);
  held = $state(0);
  /** Recent lines per second. */
  rate = $state(0);
  containers: Record<number, ContainerStatus> = $state({});
  /** When the connection was lost, by this computer's clock; 0 while there is one. */
  downSince = $state(0);
  #skipped = $state(0);
  #news: '' | 'resumed' | 'complete' | 'skipped' = $state('');
  #catchingUp = $state(false);

  readonly #logs: ReadonlyMap<number, ContainerLogs>;
  readonly #merged: MergedLogs | null;
  readonly #states = new Map<
    number,
    { state: StreamState; reason: Reason | null; since: number }
  >();
  #newsTimer = 0;
  #lastLines = 0;
  #behindSince = 0;
  #recent: { at: number; lines: number }[] = [];
  /** Marks that stand at their time wherever lines around it are held, by what they are about. */
  readonly #marks = new Map<string, Entry>();
  /** The newest marks of what was seen live. */
  readonly #seen: Entry[] = [];
  #wanted = DEPLOYMENTS;
  readonly #polls = new Map<number, number>();
  /** Logs that were just reopened; their next status is not new. */
  readonly #statusAfterConnect = new Set<number>();
  #closed = false;

  constructor(apps: readonly number[]) {
    this.apps = apps;
    const open = (source: number) =>
      client.containerLogs({ ...optionsOf(source), tail: TAIL, stopped: true });
    const { buffer, view } = this;
    const changed = () => this.#historyChanged();
    const note = (app: number, changes: readonly ContainerStatusEvent[]) => {
      for (const { time, data } of changes) this.#noteChange(app, time, data);
    };
    this.history = new History({ buffer, view, note, changed, begun: () => this.#begun() }, apps);
    this.#logs = new Map(apps.map((app) => [app, open(app)]));
    for (const [app, logs] of this.#logs) {
      logs.on('state', ({ state, reason }) => this.#turn(app, state, reason));
      logs.on('open', () => this.#statusAfterConnect.add(app));
      void this.#lookAtDeployments(app);
    }
    const first = apps[0] as number;
    if (apps.length === 1) {
      const only = this.#logs.get(first) as ContainerLogs;
      this.#merged = null;
      this.#listen(only, () => first);
      only.on('lines', ({ lines }) => this.#take(lines, () => first));
    } else {
      const named = [...this.#logs].map(([app, logs]) => [String(app), logs] as const);
      this.#merged = mergeLogs(Object.fromEntries(named));
      this.#listen(this.#merged, (event) => Number((event as { source?: string }).source));
      this.#merged.on('lines', ({ lines }) =>
        this.#take(lines, (line) => Number((line as MergedLine).source)),
      );
    }
  }

  /** Reconnect after an end or a failure, keeping all lines and repeating none. */
  reconnect(): void {
    for (const logs of this.#logs.values()) if (logs.state !== 'live') logs.reconnect();
  }

  close(): void {
    this.#closed = true;
    this.history.close();
    this.#merged?.close();
    for (const logs of this.#logs.values()) logs.close();
    this.view.close();
    clearTimeout(this.#newsTimer);
    for (const timer of this.#polls.values()) clearTimeout(timer);
  }

  /** The state as the page shows it. */
  get text(): string {
    if (this.stream === 'connecting') return 'CONNECTING…';
    if (this.stream === 'reconnecting') return 'RECONNECTING…';
    if (this.stream === 'ended') return 'ENDED';
    if (this.stream === 'failed') {
      return this.reason?.code === 'not-running' || this.held > 0 ? 'ENDED' : 'NOT CONNECTED';
    }
    if (this.paused) return `PAUSED · ${count(this.fresh)} new`;
    if (this.#news === 'skipped') return `${plural(this.#skipped, 'line')} skipped`;
    if (this.#news === 'complete') return 'RECONNECTED · nothing missed';
    if (this.#news === 'resumed') return 'RECONNECTED';
    return this.#catchingUp ? 'CATCHING UP' : 'LIVE';
  }

  pause(paused: boolean): void {
    if (paused === this.paused) return;
    this.paused = paused;
    this.fresh = 0;
    if (!paused) {
      this.history.leave();
      this.#trim();
    }
  }

  /** Listen to all events except lines and states, of one log or of several. */
  #listen(logs: ContainerLogs | MergedLogs, of: (event: object) => number): void {
    // Both have the same events; those of merged logs name their log.
    const events = logs as ContainerLogs;
    events.on('status', (event) => this.#status(of(event), event.data, event.time));
    events.on('skipped', (event) => {
      this.#skipped = event.lines;
      this.#tell('skipped');
      const many = event.exact ? '' : 'at least ';
      this.#mark('gap', event.time, `${many}${plural(event.lines, 'line')} skipped`, of(event));
    });
    events.on('reconnected', (event) => {
      // A separate event reports lines that were skipped while reconnecting.
      if (event.missing === 0) this.#tell(event.exact ? 'complete' : 'resumed');
    });
    events.on('end', (event) => this.#mark('end', event.time, event.message, of(event)));
  }

  /** Record a log's state; the state that most needs attention represents all. */
  #turn(app: number, state: StreamState, reason: Reason | null): void {
    this.#states.set(app, { state, reason, since: performance.now() });
    const all = [...this.#states.values()];
    const order: StreamState[] = ['reconnecting', 'connecting', 'live', 'failed', 'ended'];
    const worst = order.flatMap((each) => all.find((one) => one.state === each) ?? [])[0];
    this.stream = worst?.state ?? state;
    this.reason = worst?.reason ?? reason;
    const down = this.stream === 'connecting' || this.stream === 'reconnecting';
    this.downSince = down ? this.downSince || Date.now() : 0;
    if (state === 'reconnecting') this.#news = '';
  }

  #tell(news: 'resumed' | 'complete' | 'skipped'): void {
    this.#news = news;
    clearTimeout(this.#newsTimer);
    this.#newsTimer = window.setTimeout(() => {
      this.#news = '';
    }, NEWS_MS);
  }

  #take(lines: readonly LogLine[], of: (line: LogLine) => number): void {
    const { end } = this.buffer;
    const entries = lines.map((line, i) => lineEntry(end + i, { ...line, app: of(line) }));
    this.history.note(entries);
    if (this.paused) this.fresh += entries.length;
    this.#note(entries.length, entries[entries.length - 1]?.ms ?? 0);
    this.#add(entries);
  }

  #status(app: number, now: ContainerStatus, time: string): void {
    const before = this.containers[app];
    this.containers[app] = now;
    // The first status of every connection repeats what is known.
    const repeated = this.#statusAfterConnect.delete(app);
    if (before === undefined || (repeated && before.state === now.state)) return;
    const { kind, what } = changeOf(before, now);
    this.#seen.push(this.#mark(kind, time, `container ${what} · ${now.status}`, app));
    if (this.#seen.length > SEEN) this.#seen.shift();
    void this.#lookAtDeployments(app);
  }

  /** Mark a start or an end that the engine has told, unless the page has seen it. */
  #noteChange(app: number, time: string, data: ContainerStatus): void {
    const key = `${app} ${time}`;
    if (this.#marks.has(key)) return;
    const { kind, what } = pastChange(data);
    this.#marks.set(key, markEntry(0, kind, time, `container ${what}`, app));
  }

  #mark(kind: MarkKind, time: string, text: string, app = 0): Entry {
    const mark = markEntry(this.buffer.end, kind, time, text, app);
    this.#add([mark]);
    return mark;
  }

  #add(entries: readonly Entry[]): void {
    if (this.#closed) return;
    const first = this.buffer.length === 0;
    this.buffer.append(entries);
    // The view goes on behind the last entry that it has, so it needs all before any moves.
    this.view.grow();
    this.#trim();
    this.held = this.buffer.length;
    if (first) this.#placeMarks();
  }

  /** Keep the bounds: while the log is paused, far from what is being read. */
  #trim(): void {
    if (this.paused) this.history.trim(this.place());
    else if (this.buffer.trim() > 0) this.view.shrink();
  }

  #historyChanged(): void {
    this.held = this.buffer.length;
    this.#placeMarks();
    if (this.#wanted === MORE_DEPLOYMENTS) return;
    this.#wanted = MORE_DEPLOYMENTS;
    for (const app of this.apps) void this.#lookAtDeployments(app);
  }

  /** Return true if the last lines of each log are here, or will not come. */
  #begun(): boolean {
    const now = performance.now();
    return this.apps.every((app) => {
      if (this.history.knows(app)) return true;
      const { state = 'connecting', since = now } = this.#states.get(app) ?? {};
      if (state === 'connecting' || state === 'reconnecting') return false;
      return state !== 'live' || now - since > TAIL_MS;
    });
  }

  /** Update the figures: lines per second, and whether the newest line is old. */
  #note(lines: number, newest: number): void {
    const now = performance.now();
    this.#lastLines = now;
    this.#recent.push({ at: now, lines });
    while ((this.#recent[0]?.at ?? now) < now - 2000) this.#recent.shift();
    this.rate = this.#recent.reduce((sum, each) => sum + each.lines, 0) / 2;
    const behind = lines > 0 && serverNow() - newest > BEHIND_MS;
    if (!behind) this.#behindSince = 0;
    else if (this.#behindSince === 0) this.#behindSince = now;
    this.#catchingUp = behind && now - this.#behindSince > BEHIND_FOR_MS;
  }

  /** Let the figures fall to zero when no more lines arrive. */
  idle(): void {
    if (performance.now() - this.#lastLines > 1000) this.#note(0, 0);
  }

  async #lookAtDeployments(app: number): Promise<void> {
    clearTimeout(this.#polls.get(app));
    if (containerOf(app) !== undefined) return;
    let list: readonly Deployment[] = [];
    try {
      list = await api.deployments(app, this.#wanted);
    } catch {
      // Marks are optional: the log is shown without them, too.
    }
    if (this.#closed) return;
    for (const each of list) {
      const { id, status, finished_at: time, app_id } = each;
      if (time === null || !finished(each) || this.#marks.has(`deployment ${id}`)) continue;
      const kind = status === 'success' ? 'deployment' : 'gap';
      this.#marks.set(`deployment ${id}`, markEntry(0, kind, time, summary(each), app_id));
    }
    this.#placeMarks();
    if (list.some((each) => !finished(each))) {
      const again = window.setTimeout(() => void this.#lookAtDeployments(app), DEPLOYMENT_MS);
      this.#polls.set(app, again);
    }
  }

  /** Put marks among the held lines that are not there. */
  #placeMarks(): void {
    if (this.buffer.length === 0) return;
    const placed: Entry[][] = [];
    for (const mark of this.#marks.values()) {
      if (this.buffer.has(mark) || this.#isSeen(mark) || !this.buffer.insert(mark)) continue;
      placed.push([mark]);
    }
    // All at once, because each call starts the search again.
    this.view.insert(...placed);
  }

  /** Return true if a live mark of the same event is held, whose time is the service's. */
  #isSeen({ kind, app, ms }: Entry): boolean {
    const same = (each: Entry) =>
      each.kind === kind && each.app === app && Math.abs(each.ms - ms) < SAME_MS;
    return this.#seen.some((each) => same(each) && this.buffer.has(each));
  }
}
