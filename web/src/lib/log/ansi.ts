/**
 * The text of a line as a terminal would show it, with the colours of SGR sequences.
 *
 * Every other control sequence is dropped (ECMA-48; OSC and its kin as xterm reads them),
 * carriage returns are applied, and this module does not use HTML.
 */

/** 0–15 are the palette's colours; others are `0x1000000 | rgb`. */
export type Colour = number;

export interface Style {
  readonly fg: Colour | null;
  readonly bg: Colour | null;
  readonly bold: boolean;
  readonly dim: boolean;
  readonly italic: boolean;
  readonly underline: boolean;
  readonly strike: boolean;
  readonly inverse: boolean;
}

export interface Span {
  readonly start: number;
  readonly end: number;
  readonly style: Style;
}

export interface Shown {
  readonly text: string;
  readonly spans: readonly Span[];
}

export const PLAIN: Style = {
  fg: null,
  bg: null,
  bold: false,
  dim: false,
  italic: false,
  underline: false,
  strike: false,
  inverse: false,
};

export const RGB = 0x1000000;

/** Any C0 or C1 control except the tab: lines without one are shown unchanged. */
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f-\x9f]/;

// A string sequence (OSC, DCS, SOS, PM, APC) without its terminator hides nothing: only
// its introducer is dropped then. `[^\x07\x1b\x9c]` keeps the whole scan linear.
const SEQUENCE =
  /(?:\x1b\[|\x9b)([0-9:;<=>?]*)[ -/]*([@-~])|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)|\x1b[ -/]*[0-~]|[\x00-\x08\x0a-\x1f\x7f-\x9f]/g;

/** Return a raw line as a terminal shows it. */
export function show(raw: string): Shown {
  if (!CONTROL.test(raw)) return { text: raw, spans: [] };
  const line = /\r./s.test(raw) ? new Cells() : new Pieces();
  let style = PLAIN;
  let from = 0;
  for (const match of raw.matchAll(SEQUENCE)) {
    if (match.index > from) line.write(raw.slice(from, match.index), style);
    from = match.index + match[0].length;
    if (match[2] === 'm') style = select(style, match[1] ?? '');
    else if (match[2] === 'K') line.erase(match[1] ?? '');
    else if (match[0] === '\r') line.rewind();
  }
  if (from < raw.length) line.write(raw.slice(from), style);
  return line.shown();
}

/** The usual line: text is only ever appended. */
class Pieces {
  #text = '';
  readonly #spans: Span[] = [];

  write(text: string, style: Style): void {
    const start = this.#text.length;
    this.#text += text;
    if (style !== PLAIN) this.#spans.push({ start, end: this.#text.length, style });
  }

  erase(_how: string): void {}

  rewind(): void {}

  shown(): Shown {
    return { text: this.#text, spans: this.#spans };
  }
}

/** A line that is overwritten: one cell per character, as progress bars expect. */
class Cells {
  readonly #chars: string[] = [];
  readonly #styles: Style[] = [];
  #column = 0;

  write(text: string, style: Style): void {
    for (const char of text) {
      this.#chars[this.#column] = char;
      this.#styles[this.#column] = style;
      this.#column += 1;
    }
  }

  /** EL: to the end (0), to the beginning (1) or all of the line (2). */
  erase(how: string): void {
    if (how === '' || how === '0') {
      this.#chars.length = Math.min(this.#chars.length, this.#column);
    } else if (how === '1') {
      const end = Math.min(this.#column, this.#chars.length);
      this.#chars.fill(' ', 0, end);
      this.#styles.fill(PLAIN, 0, end);
    } else if (how === '2') {
      this.#chars.length = 0;
    }
  }

  rewind(): void {
    this.#column = 0;
  }

  shown(): Shown {
    const line = new Pieces();
    let from = 0;
    for (let column = 1; column <= this.#chars.length; column++) {
      const style = this.#styles[from] ?? PLAIN;
      if (column < this.#chars.length && this.#styles[column] === style) continue;
      // A cell that was never written is a blank.
      let text = '';
      for (let cell = from; cell < column; cell++) text += this.#chars[cell] ?? ' ';
      line.write(text, style);
      from = column;
    }
    return line.shown();
  }
}

/** Apply the parameters of one SGR sequence (ECMA-48 8.3.117, ISO 8613-6 for colours). */
function select(style: Style, parameters: string): Style {
  if (parameters === '' || parameters === '0') return PLAIN;
  // `38:2::r:g:b` has an empty colour space that `38;2;r;g;b` lacks.
  const codes = parameters.split(';').flatMap((part) => {
    const parts = part.split(':').map((text) => (text === '' ? 0 : Number(text)));
    if (parts.length >= 6 && (parts[0] === 38 || parts[0] === 48) && parts[1] === 2) {
      parts.splice(2, 1);
    }
    // Sub-parameters of anything but a colour (such as `4:3`, a curly underline) say how.
    return parts.length > 1 && parts[0] !== 38 && parts[0] !== 48 ? parts.slice(0, 1) : parts;
  });
  let next: { -readonly [Key in keyof Style]: Style[Key] } = { ...style };
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i] ?? 0;
    if (code === 38 || code === 48) {
      const [colour, used] = extended(codes, i + 1);
      if (colour !== undefined) next[code === 38 ? 'fg' : 'bg'] = colour;
      i += used;
    } else if (code === 0) next = { ...PLAIN };
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 3) next.italic = true;
    else if (code === 4) next.underline = true;
    else if (code === 7) next.inverse = true;
    else if (code === 9) next.strike = true;
    else if (code === 22) next.bold = next.dim = false;
    else if (code === 23) next.italic = false;
    else if (code === 24) next.underline = false;
    else if (code === 27) next.inverse = false;
    else if (code === 29) next.strike = false;
    else if (code >= 30 && code <= 37) next.fg = code - 30;
    else if (code === 39) next.fg = null;
    else if (code >= 40 && code <= 47) next.bg = code - 40;
    else if (code === 49) next.bg = null;
    else if (code >= 90 && code <= 97) next.fg = code - 82;
    else if (code >= 100 && code <= 107) next.bg = code - 92;
  }
  return same(next, PLAIN) ? PLAIN : next;
}

/** The colour after 38 or 48, and how many codes it took. */
function extended(codes: readonly number[], at: number): [Colour | undefined, number] {
  if (codes[at] === 5) {
    const index = codes[at + 1];
    return [index !== undefined && index <= 255 ? indexed(index) : undefined, 2];
  }
  if (codes[at] === 2) {
    const [r = 256, g = 256, b = 256] = codes.slice(at + 1, at + 4);
    const valid = r <= 255 && g <= 255 && b <= 255;
    return [valid ? RGB | (r << 16) | (g << 8) | b : undefined, 4];
  }
  return [undefined, 1];
}

/** xterm's 256 colours: the palette, a cube of 6×6×6, and 24 greys. */
export function indexed(index: number): Colour {
  if (index < 16) return index;
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return RGB | (grey << 16) | (grey << 8) | grey;
  }
  const level = (n: number) => (n === 0 ? 0 : 55 + n * 40);
  const cube = index - 16;
  const [r, g, b] = [Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6];
  return RGB | (level(r) << 16) | (level(g) << 8) | level(b);
}

function same(a: Style, b: Style): boolean {
  return (Object.keys(a) as (keyof Style)[]).every((key) => a[key] === b[key]);
}
