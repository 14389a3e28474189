import { describe, expect, it } from 'vitest';
import { eventGroups, isEventID, listsTouchedBy, titleOf } from './events';

describe('listsTouchedBy', () => {
  it('names the lists that a sign-out changes', () => {
    expect(listsTouchedBy('session.revoked')).toEqual(['sessions', 'devices']);
  });
  it('names none for a type it does not know', () => {
    expect(listsTouchedBy('journal.recovered')).toEqual([]);
    expect(listsTouchedBy('')).toEqual([]);
  });
});

describe('titleOf', () => {
  it('has words for well-known types and makes them for others', () => {
    expect(titleOf('session.revoked')).toBe('Signed out from afar');
    expect(titleOf('user.deactivated')).toBe('User deactivated');
  });
  it('gives every type of the filter a title without punctuation', () => {
    for (const type of eventGroups.flatMap((group) => group.types)) expect(titleOf(type)).not.toMatch(/[._]/);
  });
});

describe('isEventID', () => {
  it('knows an id, with blanks around it, from other text', () => {
    expect(isEventID(' evt_06abcdefghijklmnopqrstuv01 ')).toBe(true);
    expect(isEventID('evt_short')).toBe(false);
    expect(isEventID('mia@acme.example')).toBe(false);
  });
});
