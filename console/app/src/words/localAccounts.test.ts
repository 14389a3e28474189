import { describe, expect, it } from 'vitest';
import { addressOf, nameOf, signsInWith, stateOf } from './localAccounts';

const invited = { user_name: 'glass', email: 'glass@acme.example', active: true, credentials: [], invited_until: '2026-01-02T00:00:00Z' };
const set = { ...invited, invited_until: undefined, accepted_at: '2026-01-01T00:00:00Z' };

describe('local accounts', () => {
  it('are called by the best name that there is', () => {
    expect(nameOf({ ...set, name: 'Break glass' })).toBe('Break glass');
    expect(nameOf(set)).toBe('glass@acme.example');
    expect(nameOf({ ...set, email: '' })).toBe('glass');
    expect(addressOf({ ...set, name: 'Break glass' })).toBe('glass@acme.example');
    expect(addressOf({ ...set, email: undefined })).toBe('glass');
  });
  it('say what their people sign in with', () => {
    expect(signsInWith(invited)).toBe('nothing yet');
    expect(signsInWith({ ...set, credentials: ['passkey'] })).toBe('a passkey');
    expect(signsInWith({ ...set, credentials: ['password', 'totp'] })).toBe('a password and an authenticator app');
    expect(signsInWith({ ...set, credentials: ['password', 'totp', 'passkey'] })).toBe('a password, an authenticator app and a passkey');
    expect(signsInWith({ ...set, credentials: ['other'] })).toBe('other');
    expect(signsInWith(set)).toBe('nothing any more: send a new link');
  });
  it('tell what must be seen to', () => {
    expect(stateOf(invited)?.label).toBe('Invited');
    expect(stateOf(set)).toBeUndefined();
    expect(stateOf({ ...set, invited_until: '2026-01-02T00:00:00Z' })?.label).toBe('New link sent');
    expect(stateOf({ ...set, active: false })?.label).toBe('Deactivated');
  });
});
