/** The level of a line, recognised in the formats of log libraries. */

export type Level = 'error' | 'warn' | 'info' | 'debug' | 'none';

export const LEVELS: readonly Level[] = ['error', 'warn', 'info', 'debug', 'none'];

const WORD_LEVELS = {
  emerg: 'error',
  emergency: 'error',
  alert: 'error',
  crit: 'error',
  critical: 'error',
  fatal: 'error',
  ftl: 'error',
  panic: 'error',
  error: 'error',
  err: 'error',
  severe: 'error',
  warn: 'warn',
  warning: 'warn',
  wrn: 'warn',
  info: 'info',
  inf: 'info',
  information: 'info',
  informational: 'info',
  notice: 'info',
  debug: 'debug',
  dbg: 'debug',
  trace: 'debug',
  trc: 'debug',
  verbose: 'debug',
  fine: 'debug',
} satisfies Record<string, Level>;

const WORDS: ReadonlyMap<string, Level> = new Map(Object.entries(WORD_LEVELS));

const LETTERS: Readonly<Record<string, Level>> = {
  E: 'error',
  F: 'error',
  C: 'error',
  W: 'warn',
  I: 'info',
  N: 'info',
  D: 'debug',
  T: 'debug',
  V: 'debug',
};

const ANY = [...WORDS.keys()].sort((a, b) => b.length - a.length).join('|');

/** `level=error`, `"severity":"ERROR"`: anywhere near the beginning. */
const KEYED = new RegExp(
  `(?:^|[\\s{,"'])(?:level|severity|lvl|loglevel|log\\.level)["']?\\s*[=:]\\s*["']?(${ANY})\\b`,
  'i',
);
/** `[error]`, `<warn>`, `(INFO)`, `[ WARN ]`. */
const BRACKETED = new RegExp(`[[(<|]\\s*(${ANY})\\s*[\\])>|]`, 'i');
/** `[E]` */
const LETTER = /\[([EFCWINDTV])\]/;
/** glog's `E0115 10:30:01.5` and Android's `E/Tag` or `E  Tag`. */
const GLOG = /^(?:[\d\s:.-]*)([EFWIDV])(?:\d{4}\s|\/)/;
/** After nothing but dates and punctuation: `2025-01-15 10:30:01 error opening…`, `npm ERR!`. */
const FIRST = new RegExp(`^(?:npm )?[\\d\\W]*(?:[TZ][\\d\\W]*)*(${ANY})(?![\\w-])`, 'i');
/** In capitals, as a word of its own among names of threads and modules: `main ERROR …`. */
const CAPITALS = new RegExp(`(?:^|[\\s\\])>|:])(${ANY.toUpperCase()})(?=$|[\\s\\])>|:!,])`);
/** `error:`, `Warning:` after a program's name: `cc1: warning: unused`. */
const COLON = new RegExp(`(?:^|\\s)(${ANY})\\s?:(?=\\s|$)`, 'i');
/** The output of runtimes for an exception. */
const EXCEPTION =
  /^(?:Traceback \(most recent|panic:|(?:[\w$]+\.)*\w*(?:Error|Exception)\b(?::|$))/;

/** Only the beginning of a line contains its level; the rest is its message. */
const HEAD = 120;

/** Return the level of a shown line; `none` if it has none. */
export function levelOf(text: string): Level {
  const head = text.length > HEAD ? text.slice(0, HEAD) : text;
  // Nearly every line without a level ends here: one quick pass instead of seven.
  if (!HINT.test(head)) return 'none';
  const word =
    KEYED.exec(head)?.[1] ??
    BRACKETED.exec(head)?.[1] ??
    FIRST.exec(head)?.[1] ??
    CAPITALS.exec(head)?.[1] ??
    COLON.exec(head)?.[1];
  if (word !== undefined) return WORDS.get(word.toLowerCase()) ?? 'none';
  const letter = LETTER.exec(head)?.[1] ?? GLOG.exec(head)?.[1];
  if (letter !== undefined) return LETTERS[letter] ?? 'none';
  return EXCEPTION.test(head) ? 'error' : 'none';
}

const HINT = new RegExp(
  `${ANY}|\\[[A-Z]\\]|^[\\d\\s:.-]*[EFWIDV](?:\\d|/)|Traceback|Exception`,
  'i',
);

/** Return the level that a field of a structured line names: a word, or a number as pino's. */
export function levelOfValue(value: unknown): Level {
  if (typeof value === 'number') {
    if (value >= 50) return 'error';
    if (value >= 40) return 'warn';
    if (value >= 30) return 'info';
    return value >= 10 ? 'debug' : 'none';
  }
  return typeof value === 'string' ? (WORDS.get(value.trim().toLowerCase()) ?? 'none') : 'none';
}
