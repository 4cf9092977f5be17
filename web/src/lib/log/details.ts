/** The details below an opened line: its fields, and the full text of a long line. */

import { count, dateTime } from '../format';
import { element } from './dom';
import type { Entry } from './entry';
import { fieldsOf } from './fields';
import { ROW_CHARS } from './limits';

/** A long line is shown in pieces of this size, one per click. */
const PIECE = 32_768;

export function detailsOf(entry: Entry): HTMLElement {
  const box = element('div', 'details');
  box.append(actions(entry));
  const fields = fieldsOf(entry.raw, entry.text);
  if (fields.length > 0) box.append(fieldTable(fields));
  if (entry.text.length > ROW_CHARS) box.append(...wholeLine(entry));
  return box;
}

function actions(entry: Entry): HTMLElement {
  const bar = element('div', 'actions');
  const when = element('span', 'when');
  when.textContent = `${dateTime(entry.ms)} · ${entry.stream}`;
  when.title = entry.time;
  bar.append(when, button('Copy line', 'copy-line'), button('Copy link', 'copy-link'));
  return bar;
}

function fieldTable(fields: readonly (readonly [string, string])[]): HTMLElement {
  const table = element('table', 'fields');
  const body = document.createElement('tbody');
  for (const [key, value] of fields) {
    const row = document.createElement('tr');
    const head = document.createElement('th');
    head.scope = 'row';
    head.textContent = key;
    const cell = document.createElement('td');
    cell.textContent = value.length > ROW_CHARS ? `${value.slice(0, ROW_CHARS)} …` : value;
    const tools = element('td', 'tools');
    tools.append(
      button('Copy', 'copy-field', key, `Copy ${key}`),
      button('Only', 'field-only', key, `Show only lines with this ${key}`),
      button('Hide', 'field-out', key, `Hide lines with this ${key}`),
    );
    row.append(head, cell, tools);
    body.append(row);
  }
  table.append(body);
  return table;
}

function wholeLine(entry: Entry): HTMLElement[] {
  const text = element('pre', 'whole');
  const more = button('', 'more-of-line');
  let shown = 0;
  const extend = () => {
    text.append(document.createTextNode(entry.text.slice(shown, shown + PIECE)));
    shown = Math.min(entry.text.length, shown + PIECE);
    const left = entry.text.length - shown;
    more.textContent = `Show more (${count(left)} characters left)`;
    more.hidden = left === 0;
  };
  extend();
  more.addEventListener('click', extend);
  text.tabIndex = 0;
  text.setAttribute('aria-label', 'The full line');
  text.setAttribute('role', 'region');
  return [text, more];
}

function button(label: string, act: string, key = '', description = ''): HTMLButtonElement {
  const made = element('button', 'small') as HTMLButtonElement;
  made.type = 'button';
  made.dataset.act = act;
  if (key !== '') made.dataset.key = key;
  if (description !== '') made.setAttribute('aria-label', description);
  made.textContent = label;
  return made;
}
