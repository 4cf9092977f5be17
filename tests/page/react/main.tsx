import { type ComponentType, type ProfilerOnRenderCallback, Profiler, StrictMode } from 'react';
import { createRoot, hydrateRoot, type Root } from 'react-dom/client';
import { renderToString } from 'react-dom/server';
import { Log } from './Log.tsx';
import { Deployment, Logs, Metrics, views } from './scenes.tsx';

const SCENES = { Log, Logs, Deployment, Metrics } as Record<string, ComponentType<object>>;
const place = document.getElementById('root') as HTMLElement;
let root: Root | undefined;
let frames: unknown[] = [];

/** Note the frame of each commit: this time stands still within one. */
const onRender: ProfilerOnRenderCallback = () => frames.push(document.timeline.currentTime);

function element(scene: string, properties: object) {
  const Scene = SCENES[scene] as ComponentType<object>;
  return (
    <StrictMode>
      <Profiler id="scene" onRender={onRender}>
        <Scene {...properties} />
      </Profiler>
    </StrictMode>
  );
}

/** What the tests call. */
const stage = {
  show(scene: string, properties: object = {}) {
    root ??= createRoot(place);
    root.render(element(scene, properties));
  },
  /** As `show`, on HTML that a server has made. */
  hydrate(scene: string, properties: object) {
    place.innerHTML = renderToString(element(scene, properties));
    frames = [];
    const html = place.innerHTML;
    root = hydrateRoot(place, element(scene, properties));
    return html;
  },
  leave() {
    root?.unmount();
    root = undefined;
    views.length = 0;
  },
  /** The newest view of a scene that records them. */
  view: () => views.at(-1) as object | undefined,
  views: () => views,
  commits: () => frames.length,
  /** How many commits there were in one frame at most, without those of the mount. */
  commitsInOneFrame() {
    const counts = new Map<unknown, number>();
    for (const frame of frames.slice(2)) counts.set(frame, (counts.get(frame) ?? 0) + 1);
    return Math.max(0, ...counts.values());
  },
};

export type Stage = typeof stage;
Object.assign(globalThis, { stage });
