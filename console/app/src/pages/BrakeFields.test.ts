import { describe, expect, it } from 'vitest';
import { brakeRow, brakeSetting } from './BrakeFields';

describe('the brake of the settings', () => {
  it('stays as it was when nothing is typed', () => {
    for (const kept of [{}, { off: true }, { share: 5, window: '1h30m0s', least: 3 }]) {
      const again = brakeSetting(brakeRow({ brake: kept }));
      expect(again).toEqual({ ...kept, ...('window' in kept && { window: '90m' }) });
    }
    expect(brakeSetting(brakeRow(undefined))).toEqual({});
  });
  it('goes by what is typed', () => {
    expect(brakeSetting({ on: false, share: 10, window: 0.5, least: 1 })).toEqual({ off: true, share: 10, window: '30m', least: 1 });
  });
});
