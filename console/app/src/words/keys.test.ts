import { describe, expect, it } from 'vitest';
import { canPrepare, clientOverlapMeans, ending, overlapMeans, standingOfClientKey, standingOfKey } from './keys';

describe('keys', () => {
  it('has a sentence for each state', () => {
    for (const state of ['prepared', 'signing', 'retired'] as const) expect(standingOfKey({ state }).means).toMatch(/\.$/);
    expect(standingOfKey({ state: 'signing' }).word).toBe('Signs');
  });
  it('says what becomes of a key that a provider was given', () => {
    for (const state of ['prepared', 'signing', 'retired'] as const) expect(standingOfClientKey({ state, published: true }).means).toMatch(/\.$/);
    expect(standingOfClientKey({ state: 'retired', published: true }).means).toContain('for a day still');
    expect(standingOfClientKey({ state: 'retired', published: false }).means).toContain('published no more');
    expect(clientOverlapMeans(0)).toContain('nobody signs in');
    expect(clientOverlapMeans(1)).toContain('in a day');
    expect(clientOverlapMeans(30)).toContain('in 30 days');
  });
  it('prepares one at a time', () => {
    expect(canPrepare([{ state: 'signing' }, { state: 'retired' }])).toBe(true);
    expect(canPrepare([{ state: 'prepared' }, { state: 'signing' }])).toBe(false);
    expect(canPrepare([])).toBe(true);
  });
  it('warns of a key that signs at once', () => {
    expect(overlapMeans(0)).toContain('refuses');
    expect(overlapMeans(1)).toContain('in a day');
    expect(overlapMeans(30)).toContain('in 30 days');
  });
  it('says in time that a certificate ends', () => {
    const now = Date.parse('2026-01-01T00:00:00Z');
    expect(ending('2026-01-01T00:00:00Z', now)).toBe('ended');
    expect(ending('2026-01-30T00:00:00Z', now)).toBe('soon');
    expect(ending('2026-03-01T00:00:00Z', now)).toBeUndefined();
  });
});
