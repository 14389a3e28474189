import { describe, expect, it } from 'vitest';
import { short, whatIsHeld } from './brake';

describe('short', () => {
  it('leaves out what is nothing', () => {
    expect(['1h0m0s', '1h30m0s', '10m0s', '36h0m0s', '30s', '1m30s'].map(short)).toEqual(['1h', '1h30m', '10m', '36h', '30s', '1m30s']);
  });
});

describe('whatIsHeld', () => {
  it('tells how many of how many, and by which token if that is known', () => {
    const b = { departures: 20, people: 100, limit: 20, window: '1h0m0s' };
    expect(whatIsHeld({ ...b, token: 'okta' })).toContain('20 of 100 active people were deactivated or deleted, or lost their last role, by the token okta within 1h, and 20 may. Whoever');
    expect(whatIsHeld(b)).toContain('role, within 1h');
  });
});
