// Numbers and times in words: short, and of the same width where they stand below each other.

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** 1,234 as it is, 45.6k and 7.8M from there on. */
export function count(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  const size = Math.abs(value);
  if (size >= 1e9) return `${(value / 1e9).toFixed(1)}G`;
  if (size >= 1e6) return `${(value / 1e6).toFixed(1)}M`;
  if (size >= 1e4) return `${(value / 1e3).toFixed(1)}k`;
  if (size && size < 10 && !Number.isInteger(value)) return value.toFixed(size < 1 ? 2 : 1);
  return whole.format(value);
}

export function ms(value) {
  if (value === null || value === undefined) return '–';
  if (value < 1) return `${value.toFixed(1)} ms`;
  if (value < 1000) return `${Math.round(value)} ms`;
  if (value < 60_000) return `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} s`;
  return `${Math.floor(value / 60_000)} min ${Math.round((value % 60_000) / 1000)} s`;
}

/** Seconds that are left, as 45 s, 3 min 05 s, 2 h 10 min. */
export function left(seconds) {
  if (seconds === null || seconds === undefined) return '';
  const rest = Math.max(0, Math.ceil(seconds));
  if (rest < 60) return `${rest} s`;
  if (rest < 3600) return `${Math.floor(rest / 60)} min ${String(rest % 60).padStart(2, '0')} s`;
  if (rest < 86_400) return `${Math.floor(rest / 3600)} h ${String(Math.floor((rest % 3600) / 60)).padStart(2, '0')} min`;
  return `${Math.floor(rest / 86_400)} d ${Math.floor((rest % 86_400) / 3600)} h`;
}

/** Nano-dollars as dollars, with the digits that matter. */
export function money(nano) {
  if (nano === null || nano === undefined) return '–';
  const dollars = nano / 1e9;
  if (dollars === 0) return '$0';
  const size = Math.abs(dollars);
  const digits = size >= 1 ? 2 : size >= 0.01 ? 4 : 6;
  return `$${dollars.toFixed(digits)}`;
}

/** A Unix time as the clock shows it here. */
export function clock(at) {
  return new Date(at * 1000).toLocaleTimeString('en-GB');
}

export function day(at) {
  if (at === null || at === undefined) return 'never';
  return new Date(at * 1000).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' });
}

export function percent(part, of) {
  return of ? `${((100 * part) / of).toFixed(part && part < of / 100 ? 1 : 0)} %` : '–';
}
