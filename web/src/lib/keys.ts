/** Keys without a modifier, and the palette's. */

export type Keys = Readonly<Record<string, (event: KeyboardEvent) => void>>;

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);
export const PALETTE_KEY = MAC ? '⌘K' : 'Ctrl K';

/** Return true where keys are input: in fields and other controls for typing or choosing. */
function typing(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || target.matches('input, textarea, select'))
  );
}

/** Listen to keys, except Space and Enter on a button or link. */
export function listen(keys: Keys): () => void {
  const handle = (event: KeyboardEvent) => {
    if (event.defaultPrevented || event.isComposing) return;
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey) {
      act(keys, `mod+${event.key.toLowerCase()}`, event);
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    // Keys do nothing behind an open dialog.
    if (document.querySelector('dialog[open]') !== null) return;
    const target = event.target as Element;
    const own = event.key === ' ' || event.key === 'Enter';
    if (own && target.closest?.('button, a[href], summary, [role=button]')) return;
    act(keys, event.key, event);
  };
  addEventListener('keydown', handle);
  return () => removeEventListener('keydown', handle);
}

function act(keys: Keys, name: string, event: KeyboardEvent): void {
  const found = Object.hasOwn(keys, name) ? keys[name] : undefined;
  if (found === undefined) return;
  event.preventDefault();
  found(event);
}

/** All keys, as `?` shows them. */
export const HELP: readonly (readonly [string, string])[] = [
  ['/', 'Search'],
  ['n  N', 'Next and previous match'],
  ['e  E', 'Next and previous error'],
  ['Space', 'Pause, and back to live'],
  ['g  G', 'Beginning of the log, and live'],
  ['↑  ↓', 'Line by line'],
  ['Enter', 'Open the line'],
  ['t', 'Timestamps: off, local, UTC, relative, delta'],
  ['w', 'Wrap'],
  ['l', 'Levels: all, from info, from warning, errors'],
  ['c', 'Clear up to here'],
  ['1 – 9', 'Go to an application'],
  [PALETTE_KEY, 'Palette: applications, containers and commands'],
  ['?', 'Show these keys'],
  ['Esc', 'Close'],
];
