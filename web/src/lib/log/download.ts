/** Export lines to the clipboard or to a file. */

import type { Entry } from './entry';

/** Return the original text of entries, each with its time. */
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

/** "shop_2025-01-15T10-30-00Z_2025-01-15T10-35-00Z.log", for every file system. */
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
export function save(name: string, parts: readonly BlobPart[]): void {
  const address = URL.createObjectURL(new Blob([...parts], { type: 'text/plain;charset=utf-8' }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  // The browser has read the blob by then, and keeps its memory until it is revoked.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Copy text; return false if the browser does not allow it. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyByCommand(text);
  }
}

/** The clipboard API exists only on https and localhost. */
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
