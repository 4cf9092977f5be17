/** One deployment: its status, the times of its stages, and its log in steps that fold. */

import type { DeploymentStatus, LogLine, Reason, StreamState } from '@mist/client';
import { client } from './api';
import { STAGES } from './deployments';
import { duration } from './format';
import { LogBuffer, lowerBound } from './log/buffer';
import { type Entry, lineEntry, markEntry } from './log/entry';
import { LogView } from './log/view';

/** `Step 3/8 : COPY package.json ./`, as the engine's builder announces each instruction. */
const STEP = /^Step \d+\/\d+ : /;

export interface StageTime {
  readonly stage: string;
  readonly from: number;
  /** Null while it runs. */
  readonly to: number | null;
}

/** The times of the stages, from the status messages of a deployment's stream. */
export class StageTimes {
  list: readonly StageTime[] = $state.raw([]);

  /** Record a status; return true if a stage begins with it. */
  note({ status, stage }: DeploymentStatus, ms: number): boolean {
    const last = this.list[this.list.length - 1];
    const over = status === 'success' || status === 'failed';
    const begins = last?.stage !== stage && STAGES.some(([name]) => name === stage);
    if (!begins && !over) return false;
    const before = this.list.map((each) => (each.to === null ? { ...each, to: ms } : each));
    this.list = begins ? [...before, { stage, from: ms, to: over ? ms : null }] : before;
    return begins;
  }

  of(stage: string): StageTime | undefined {
    return this.list.find((each) => each.stage === stage);
  }
}

/** Return the stages of an earlier deployment once its whole log has been read. */
export function stagesOf(deploymentId: number, signal: AbortSignal): Promise<StageTimes> {
  const times = new StageTimes();
  const stream = client.followDeployment({ deploymentId, signal });
  stream.on('status', ({ data, time }) => times.note(data, Date.parse(time)));
  return stream.closed.then(() => times);
}

export class DeploymentRun {
  readonly buffer = new LogBuffer();
  readonly view = new LogView(this.buffer);
  readonly times = new StageTimes();

  state: StreamState = $state('connecting');
  reason: Reason | null = $state.raw(null);
  status: DeploymentStatus | null = $state.raw(null);
  held = $state(0);
  firstError: Entry | null = $state.raw(null);

  readonly #stream;
  /** The dividers that lines fold into, in the order of the log. */
  readonly #steps: Entry[] = [];
  /** Steps that the reader opened or closed stay as they are. */
  readonly #chosen = new Set<Entry>();
  #order = 0;

  constructor(deploymentId: number) {
    this.view.setShown((entry) => entry.kind !== 'line' || (this.stepOf(entry)?.open ?? true));
    this.#stream = client.followDeployment({ deploymentId });
    this.#stream.on('state', ({ state, reason }) => {
      this.state = state;
      this.reason = reason;
    });
    this.#stream.on('status', ({ data, time }) => this.#turn(data, time));
    this.#stream.on('lines', ({ lines }) => this.#take(lines));
  }

  reconnect(): void {
    this.#stream.reconnect();
  }

  close(): void {
    this.#stream.close();
    this.view.close();
  }

  /** Open or close a step. */
  toggle(step: Entry): void {
    step.open = !step.open;
    this.#chosen.add(step);
    this.view.rebuild();
  }

  toggleAll(open: boolean): void {
    for (const step of this.#steps) {
      step.open = open;
      this.#chosen.add(step);
    }
    this.view.rebuild();
  }

  /** Return the step that a line belongs to; undefined before the first one. */
  stepOf({ order }: Entry): Entry | undefined {
    const steps = this.#steps;
    return steps[lowerBound(steps.length, (i) => (steps[i] as Entry).order <= order) - 1];
  }

  #turn(status: DeploymentStatus, time: string): void {
    this.status = status;
    const begins = this.times.note(status, Date.parse(time));
    if (begins && status.stage !== 'completed') {
      const label = STAGES.find(([stage]) => stage === status.stage)?.[1] ?? status.stage;
      this.#begin(label, time);
    }
    if (status.status === 'success' || status.status === 'failed') {
      // A failed step stays open, because its last lines contain the reason.
      this.#close(time, status.status === 'failed');
      this.view.rebuild();
    }
  }

  #take(lines: readonly LogLine[]): void {
    const entries: Entry[] = [];
    for (const { time, stream, line } of lines) {
      if (STEP.test(line)) {
        this.buffer.append(entries.splice(0));
        this.#begin(line, time);
        continue;
      }
      this.#order += 1;
      const entry = lineEntry(this.#order, { app: 0, time, stream, line });
      if (entry.level === 'error') this.firstError ??= entry;
      entries.push(entry);
    }
    this.buffer.append(entries);
    if (this.buffer.trim() > 0) this.view.shrink();
    this.view.grow();
    this.held = this.buffer.length;
  }

  #begin(label: string, time: string): void {
    this.#close(time, false);
    this.#order += 1;
    const step = markEntry(this.#order, 'step', time, label);
    step.open = true;
    this.#steps.push(step);
    this.buffer.append([step]);
    this.held = this.buffer.length;
    this.view.rebuild();
  }

  /** The last step has ended: show its duration, and fold it unless it is being read. */
  #close(time: string, open: boolean): void {
    const step = this.#steps[this.#steps.length - 1];
    if (step === undefined || step.text !== step.raw) return;
    step.text = `${step.raw}  ${duration(Date.parse(time) - step.ms)}`;
    if (!this.#chosen.has(step)) step.open = open;
  }
}
