import { describe, expect, it } from 'vitest';
import type { Token } from '../client/api';
import { accessOf, standingOf } from './tokens';

const now = Date.parse('2026-01-01T00:00:00Z');
const token = (more: Partial<Token>): Token => ({ id: 'tok_a', kind: 'token', name: 'Okta', scope: 'scim', created_at: '2025-12-01T00:00:00Z', expires_at: '2026-03-01T00:00:00Z', ...more });

describe('tokens', () => {
  it('are told of when something is to be done', () => {
    expect(standingOf(token({}), [], now)).toBeUndefined();
    expect(standingOf(token({ revoked_at: '2025-12-31T00:00:00Z' }), [], now)?.label).toBe('Revoked');
    expect(standingOf(token({ expires_at: '2025-12-31T00:00:00Z' }), [], now)?.label).toBe('Expired');
    expect(standingOf(token({ expires_at: '2026-01-10T00:00:00Z' }), [], now)?.advice).toContain('Rotate');
    expect(standingOf(token({ scope: 'api', expires_at: '2026-01-10T00:00:00Z' }), [], now)?.advice).toContain('Make another');
  });
  it('say when the provider has moved to the new secret', () => {
    const old = token({ successor: 'tok_b', last_used_at: '2025-12-31T10:00:00Z' });
    expect(standingOf(old, [token({ id: 'tok_b' })], now)?.advice).toContain('Give the provider');
    expect(standingOf(old, [token({ id: 'tok_b', last_used_at: '2025-12-31T09:00:00Z' })], now)?.advice).toContain('Give the provider');
    expect(standingOf(old, [token({ id: 'tok_b', last_used_at: '2025-12-31T11:00:00Z' })], now)?.advice).toContain('Revoke this one');
  });
  it('say what they may do', () => {
    expect(accessOf({})).toBe('everything');
    expect(accessOf({ access: ['groups:read', 'users:read'] })).toBe('users:read, groups:read');
  });
});
