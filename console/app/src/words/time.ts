const units: [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
];

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });

/** "3 minutes ago", "in 2 days", "just now". */
export function ago(time: string, now: number = Date.now()): string {
  const seconds = Math.round((new Date(time).getTime() - now) / 1000);
  for (const [unit, size] of units) {
    if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
  }
  return 'just now';
}

const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

/** The whole date and time in the reader's own form. */
export function exactly(time: string): string {
  return full.format(new Date(time));
}

const parts: Record<string, number> = { h: 60, m: 1, s: 1 / 60 };

/** The hours of a duration such as "1h30m0s"; nothing for one that is not set. */
export function hours(duration: string | undefined): number | undefined {
  if (!duration) return undefined;
  let total = 0;
  for (const [, number, unit] of duration.matchAll(/([\d.]+)([hms])/g)) total += Number(number) * (parts[unit ?? ''] ?? 0);
  return Math.round((total / 60) * 100) / 100;
}

/** So many hours as a duration in whole minutes, such as "90m". */
export function minutes(hours: number): string {
  return `${Math.round(hours * 60)}m`;
}
