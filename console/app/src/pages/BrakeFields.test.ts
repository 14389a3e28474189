import { describe, expect, it } from 'vitest';
import { brakeRow, brakeSetting } from './BrakeFields';

describe('the brake of the settings', () => {
  it('stays as it was when nothing is typed', () => {
    for (const kept of [{}, { off: true }, { share: 5, window: '1h30m0s', least: 3 }, { window: '1m30s' }, { window: '167h59m59s' }]) {
      expect(brakeSetting(brakeRow({ brake: kept }), { brake: kept })).toEqual(kept);
    }
    expect(brakeSetting(brakeRow(undefined), undefined)).toEqual({});
  });
  it('goes by what is typed', () => {
    expect(brakeSetting({ on: false, share: 10, window: 0.5, least: 1 }, { brake: { window: '1h0m0s' } })).toEqual({ off: true, share: 10, window: '30m', least: 1 });
  });
});
