/** Taking lines out of the page: to the clipboard, and into a file. */

import type { Entry } from './entry';

/** Return the text of entries as they came, each with its time. */
export function asText(entries: Iterable<Entry>, name: (app: number) => string | null): string[] {
  const parts: string[] = [];
  for (const { kind, time, app, raw, text } of entries) {
    if (kind !== 'line') {
      parts.push(`${time} --- ${text} ---\n`);
      continue;
    }
    const from = name(app);
    parts.push(from === null ? `${time} ${raw}\n` : `${time} ${from} ${raw}\n`);
  }
  return parts;
}

/** "shop_2025-01-15T10-30-00Z_2025-01-15T10-35-00Z.log": no character that a file system minds. */
export function fileName(names: readonly string[], from: string, to: string): string {
  const stamp = (time: string) => time.replace(/\.\d+/, '').replaceAll(':', '-');
  const who =
    names
      .join('+')
      .replace(/[^\w.+-]+/g, '_')
      .slice(0, 80) || 'log';
  return `${who}_${stamp(from)}_${stamp(to)}.log`;
}

/** Hand a file to the browser. */
export function save(name: string, parts: readonly string[]): void {
  const address = URL.createObjectURL(new Blob([...parts], { type: 'text/plain;charset=utf-8' }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  // The browser has read the blob by then; it holds its memory until it is let go.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Copy text; return false where the browser does not let us. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyByCommand(text);
  }
}

/** The clipboard's own interface is there on https and localhost alone. */
function copyByCommand(text: string): boolean {
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'sr-only';
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  return done;
}
