/** Numbers and times as people read them. */

const NUMBER = new Intl.NumberFormat('en-US');

/** 1284 → "1,284". */
export function count(value: number): string {
  return NUMBER.format(value);
}

/** "1 line", "1,284 lines". */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** 4294967296 → "4.0 GiB". */
export function bytes(value: number): string {
  let unit = 0;
  let left = value;
  while (left >= 1024 && unit < UNITS.length - 1) {
    left /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? left : left.toFixed(1)} ${UNITS[unit]}`;
}

export function percent(value: number): string {
  return `${value.toFixed(1)} %`;
}

/** A length of time, as short as it stays clear: "0.4 s", "41 s", "3 min 5 s", "2 h 10 min". */
export function duration(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const pair = (big: number, unit: string, small: number, smaller: string) =>
    small === 0 ? `${big} ${unit}` : `${big} ${unit} ${small} ${smaller}`;
  if (whole < 3600) return pair(Math.floor(whole / 60), 'min', whole % 60, 's');
  const minutes = Math.round(whole / 60);
  if (minutes < 1440) return pair(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
  const hours = Math.round(minutes / 60);
  return pair(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

/** How long ago: "now", "12 s ago", "3 min ago", "2 d ago". */
export function ago(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 1) return 'now';
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

const two = (value: number) => String(value).padStart(2, '0');
const three = (value: number) => String(value).padStart(3, '0');

/** "10:30:01.123", in the zone of the browser; with the day in front unless that is `today`. */
export function localTime(ms: number, today: number): string {
  const date = new Date(ms);
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const day = date.toDateString() === new Date(today).toDateString();
  const prefix = day ? '' : `${two(date.getMonth() + 1)}-${two(date.getDate())} `;
  return `${prefix}${time}.${three(date.getMilliseconds())}`;
}

/** The same in UTC, ending in Z. */
export function utcTime(ms: number, today: number): string {
  const text = new Date(ms).toISOString();
  const day = text.slice(0, 10) === new Date(today).toISOString().slice(0, 10);
  return `${day ? '' : `${text.slice(5, 10)} `}${text.slice(11, 23)}Z`;
}

/** The time since the line before: "+0.012", "+1:02:03.5". */
export function delta(ms: number): string {
  const sign = ms < 0 ? '-' : '+';
  const seconds = Math.abs(ms) / 1000;
  if (seconds < 60) return `${sign}${seconds.toFixed(3)}`;
  const whole = Math.floor(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return `${sign}${h > 0 ? `${h}:${two(m)}` : m}:${two(s)}`;
}

/** "2025-01-15 10:30:01", local. */
export function dateTime(ms: number): string {
  const date = new Date(ms);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
