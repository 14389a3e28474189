import { describe, expect, it } from 'vitest';
import { whatWasRead } from './google';

const counts = { people: 1200, created: 0, changed: 0, deactivated: 0, deleted: 0, held: 0, groups: 1, groups_changed: 0, members_added: 0, members_removed: 0, skipped: 0 };
const outcome = { result: 'done' as const, began_at: '', ended_at: '' };

describe('whatWasRead', () => {
  it('says that nothing has changed', () => {
    expect(whatWasRead({ ...outcome, counts })).toBe('1,200 people and 1 group read: nothing has changed.');
  });
  it('says what has', () => {
    expect(whatWasRead({ ...outcome, counts: { ...counts, created: 1, held: 2, members_added: 3 } })).toBe('1,200 people and 1 group read: 1 person made, 3 memberships changed, 2 people held.');
  });
});
