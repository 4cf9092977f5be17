/** Draw a line chart on a canvas. */

import { type Range, timeTicks, valueTicks } from './plot';

/** The area of the plot within the canvas, in CSS pixels. */
export interface Area {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export interface Drawing {
  readonly times: readonly number[];
  readonly values: readonly (number | null)[];
  readonly range: Range;
  readonly top: number;
  readonly area: Area;
  readonly line: string;
  readonly axes: Axes | null;
}

export interface Axes {
  readonly text: string;
  readonly grid: string;
  readonly unit: 1 | 1024;
  readonly time: (seconds: number) => string;
  readonly value: (value: number) => string;
}

type Pen = CanvasRenderingContext2D;

/** Clear a canvas of this size, in CSS pixels, and draw. */
export function draw(canvas: HTMLCanvasElement, width: number, height: number, all: Drawing): void {
  const pen = canvas.getContext('2d');
  if (pen === null) return;
  const dense = devicePixelRatio || 1;
  canvas.width = Math.round(width * dense);
  canvas.height = Math.round(height * dense);
  pen.scale(dense, dense);
  if (all.axes !== null) drawAxes(pen, all, all.axes);
  drawLine(pen, all);
}

function drawAxes(pen: Pen, { range, top, area }: Drawing, axes: Axes): void {
  const [from, to] = range;
  const bottom = area.top + area.height;
  pen.font = '11px system-ui, sans-serif';
  pen.fillStyle = axes.text;
  pen.strokeStyle = axes.grid;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.textAlign = 'center';
  pen.textBaseline = 'top';
  for (const time of timeTicks(range, area.width / 70)) {
    const x = Math.round(area.left + ((time - from) / (to - from)) * area.width) + 0.5;
    pen.moveTo(x, area.top);
    pen.lineTo(x, bottom);
    pen.fillText(axes.time(time), x, bottom + 7);
  }
  pen.textAlign = 'right';
  pen.textBaseline = 'middle';
  for (const value of valueTicks(top, area.height / 32, axes.unit)) {
    const y = Math.round(bottom - (value / top) * area.height) + 0.5;
    pen.moveTo(area.left, y);
    pen.lineTo(area.left + area.width, y);
    pen.fillText(axes.value(value), area.left - 7, y);
  }
  pen.stroke();
}

function drawLine(pen: Pen, { times, values, range, top, area, line }: Drawing): void {
  const [from, to] = range;
  const bottom = area.top + area.height;
  const path = new Path2D();
  const fill = new Path2D();
  let start = Number.NaN;
  let x = 0;
  const close = () => {
    if (Number.isNaN(start)) return;
    fill.lineTo(x, bottom);
    fill.lineTo(start, bottom);
    start = Number.NaN;
  };
  for (const [i, value] of values.entries()) {
    if (value === null) {
      close();
      continue;
    }
    x = area.left + (((times[i] as number) - from) / (to - from)) * area.width;
    const y = bottom - (Math.min(value, top) / top) * area.height;
    if (Number.isNaN(start)) {
      start = x;
      path.moveTo(x, y);
      fill.moveTo(x, y);
    } else {
      path.lineTo(x, y);
      fill.lineTo(x, y);
    }
  }
  close();
  pen.save();
  pen.beginPath();
  pen.rect(area.left, area.top - 2, area.width, area.height + 3);
  pen.clip();
  pen.strokeStyle = line;
  pen.lineWidth = 1.5;
  pen.lineJoin = 'round';
  pen.fillStyle = `${line}22`;
  pen.fill(fill);
  pen.stroke(path);
  pen.restore();
}
