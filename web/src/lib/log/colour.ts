/** Keep a program's colours readable on the page's own background (WCAG 2.1, 1.4.3). */

import { type Colour, RGB } from './ansi';

type Rgb = readonly [number, number, number];

const RATIO = 4.5;

/** Return `rgb(…)` for a colour as text on a background, lightened or darkened until it can be read. */
export function readable(colour: Colour, background: Colour): string {
  const key = colour * 0x2000000 + background;
  const known = cache.get(key);
  if (known !== undefined) return known;
  const text = css(adjust(channels(colour), channels(background)));
  if (cache.size > 5000) cache.clear();
  cache.set(key, text);
  return text;
}

/** Return `rgb(…)` for a colour as it is. */
export function plain(colour: Colour): string {
  return css(channels(colour));
}

const cache = new Map<number, string>();

function adjust(colour: Rgb, background: Rgb): Rgb {
  const dark = luminance(background) < 0.18;
  const target = dark ? 255 : 0;
  for (let step = 0; step <= 20; step++) {
    const mixed = colour.map((c) => Math.round(c + ((target - c) * step) / 20));
    const candidate: Rgb = [mixed[0] ?? 0, mixed[1] ?? 0, mixed[2] ?? 0];
    if (contrast(candidate, background) >= RATIO) return candidate;
  }
  return dark ? [255, 255, 255] : [0, 0, 0];
}

export function contrast(a: Rgb, b: Rgb): number {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (light + 0.05) / (dark + 0.05);
}

function luminance([r, g, b]: Rgb): number {
  const linear = (c: number) => {
    const s = c / 255;
    return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
}

export function channels(colour: Colour): Rgb {
  return [(colour >> 16) & 255, (colour >> 8) & 255, colour & 255];
}

function css([r, g, b]: Rgb): string {
  return `rgb(${r} ${g} ${b})`;
}

/** The sixteen colours of a terminal, chosen for each theme's background. */
export const PALETTE: Readonly<Record<'dark' | 'light', readonly Colour[]>> = {
  dark: [
    0x6b7280, 0xf07178, 0x8bc98b, 0xe0b567, 0x7aa8f0, 0xc792ea, 0x6cc7c4, 0xc8ccd4, 0x8a919e,
    0xff8b92, 0xa5e0a5, 0xf2cd84, 0x9cc2ff, 0xddb3fa, 0x8fe0dc, 0xffffff,
  ].map((rgb) => RGB | rgb),
  light: [
    0x1f2328, 0xb3261e, 0x1a6b34, 0x7a5200, 0x1f54b8, 0x7a35a8, 0x00666b, 0x57606a, 0x4b535d,
    0xc4281f, 0x1a7037, 0x805600, 0x2760cf, 0x8a3fbd, 0x006f75, 0x24292f,
  ].map((rgb) => RGB | rgb),
};

/** The backgrounds of logs; app.css has the same two. */
export const BACKGROUND = { dark: RGB | 0x0e1116, light: RGB | 0xffffff } as const;

/** How many colours applications and search terms take in turn (app.css names them). */
export const TURNS = 8;
