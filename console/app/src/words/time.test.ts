import { describe, expect, it } from 'vitest';
import { ago, hours, minutes } from './time';

const now = Date.parse('2026-03-01T12:00:00Z');

describe('ago', () => {
  it.each([
    ['2026-03-01T11:59:40Z', 'just now'],
    ['2026-03-01T11:57:00Z', '3 minutes ago'],
    ['2026-03-01T10:00:00Z', '2 hours ago'],
    ['2026-02-28T12:00:00Z', 'yesterday'],
    ['2026-03-03T12:00:00Z', 'in 2 days'],
  ])('says %s as %s', (time, words) => {
    expect(ago(time, now)).toBe(words);
  });
});

describe('hours', () => {
  it.each([
    ['8h0m0s', 8],
    ['1h30m0s', 1.5],
    ['20m0s', 0.33],
    ['', undefined],
  ])('reads %s as %s', (duration, want) => {
    expect(hours(duration)).toBe(want);
  });
  it('writes whole minutes', () => {
    expect(minutes(1.5)).toBe('90m');
  });
});
