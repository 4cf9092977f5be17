/** The tables of the home page: what is shown, in which groups, and in which order. */

import type { HostContainer } from '@mist/client';
import type { App } from './api';
import { smooth, type Trend } from './trend';

export type ContainerColumn = 'name' | 'state' | 'health' | 'image' | 'cpu' | 'memory';
type Key = string | number | null;

export interface ContainerRow {
  readonly container: HostContainer;
  /** The application that the container belongs to. */
  readonly app: App | undefined;
}

export interface Group {
  /** The Compose project; null for the containers without one. */
  readonly project: string | null;
  readonly rows: readonly ContainerRow[];
  readonly running: number;
}

const COLLATOR = new Intl.Collator('en', { numeric: true, sensitivity: 'base' });

/** Return true if a text contains all words, in any order. */
export function fits(text: string, words: string): boolean {
  const lower = text.toLowerCase();
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => lower.includes(word));
}

/** Compare two keys of rows; what is unknown comes last in either direction. */
export function compare(a: Key, b: Key, descending: boolean): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  const order =
    typeof a === 'number' && typeof b === 'number' ? a - b : COLLATOR.compare(String(a), String(b));
  return descending ? -order : order;
}

/**
 * Return the application of a container. Its name decides where the service does not know
 * yet, because the list of applications may be newer than that of the containers.
 */
export function appFor({ app_id, name }: HostContainer, apps: readonly App[]): App | undefined {
  return apps.find((app) => app.id === app_id) ?? apps.find((app) => app.container === name);
}

/** Return the container of an application. */
export function containerFor(
  app: App,
  containers: readonly HostContainer[],
): HostContainer | undefined {
  return (
    containers.find(({ app_id }) => app_id === app.id) ??
    containers.find(({ name }) => name === app.container)
  );
}

export interface Arrangement {
  readonly words: string;
  readonly sort: ContainerColumn;
  readonly descending: boolean;
  readonly trendOf: (id: string) => Trend | undefined;
}

/** Return the rows that fit, by project, each group in order; those without a project last. */
export function arrange(
  rows: readonly ContainerRow[],
  { words, sort, descending, trendOf }: Arrangement,
): Group[] {
  const key = ({ container }: ContainerRow): Key =>
    sort === 'cpu' || sort === 'memory' ? smooth(trendOf(container.id), sort) : container[sort];
  const groups = new Map<string | null, ContainerRow[]>();
  for (const row of rows.filter((row) => fits(searched(row), words))) {
    const { project } = row.container;
    groups.set(project, [...(groups.get(project) ?? []), row]);
  }
  return [...groups]
    .sort(([a], [b]) => compare(a, b, false))
    .map(([project, found]) => ({
      project,
      rows: found.sort(
        (a, b) =>
          compare(key(a), key(b), descending) ||
          COLLATOR.compare(a.container.name, b.container.name),
      ),
      running: found.filter(({ container }) => container.state === 'running').length,
    }));
}

function searched({ container, app }: ContainerRow): string {
  const { name, image, state, health, project, service } = container;
  return [name, image, state, health, project, service, app?.name].join(' ');
}

/** The colour of a health, as a class of `.status`. */
export function healthTone(health: string | null): string {
  if (health === 'healthy') return 'good';
  return health === 'unhealthy' ? 'bad' : health === 'starting' ? 'busy' : '';
}
