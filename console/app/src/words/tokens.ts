import type { Token } from '../client/api';

/** What a SCIM token may do, in the order in which it is offered. */
export const accessWords = [
  { value: 'users:read', label: 'Read people' },
  { value: 'users:write', label: 'Add, change and deactivate people' },
  { value: 'users:delete', label: 'Delete people' },
  { value: 'groups:read', label: 'Read groups' },
  { value: 'groups:write', label: 'Add and change groups' },
  { value: 'groups:delete', label: 'Delete groups' },
] as const;

/** What a SCIM token may do, in a few words. */
export function accessOf(token: Pick<Token, 'access'>): string {
  const access = token.access ?? [];
  if (access.length === 0) return 'everything';
  return accessWords.filter((w) => access.includes(w.value)).map((w) => w.value).join(', ');
}

export type Standing = { label: string; color: string; advice?: string };

const day = 86_400_000;

/** How a token stands that is not simply good, and what to do about it. */
export function standingOf(token: Token, all: Token[], now: number = Date.now()): Standing | undefined {
  if (token.revoked_at) return { label: 'Revoked', color: 'gray' };
  const end = token.expires_at ? Date.parse(token.expires_at) : Infinity;
  if (end <= now) return { label: 'Expired', color: 'gray' };
  if (token.successor) {
    const next = all.find((t) => t.id === token.successor);
    const moved = next?.last_used_at && (!token.last_used_at || Date.parse(next.last_used_at) > Date.parse(token.last_used_at));
    return {
      label: 'Being replaced', color: 'yellow',
      advice: moved ? 'The provider uses the new secret. Revoke this one.' : 'Give the provider the new secret before this one ends.',
    };
  }
  if (end - now < 14 * day) {
    return { label: 'Expires soon', color: 'red', advice: token.scope === 'scim' ? 'Rotate it, and give the provider the new secret.' : 'Make another one, and give it to the program.' };
  }
  return undefined;
}
