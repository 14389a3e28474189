interface Account {
  user_name: string;
  email?: string;
  name?: string;
  active: boolean;
  accepted_at?: string;
  invited_until?: string;
  credentials: string[];
}

/** How a person with a local account is called. */
export function nameOf(a: Account): string {
  return a.name || a.email || a.user_name;
}

/** The address by which they are invited again. */
export function addressOf(a: Account): string {
  return a.email || a.user_name;
}

const kinds: Record<string, string> = { password: 'a password', totp: 'an authenticator app', passkey: 'a passkey' };

/** What somebody signs in with, as people say it. */
export function signsInWith(a: Account): string {
  if (!a.accepted_at) return 'nothing yet';
  const all = a.credentials.map((c) => kinds[c] ?? c);
  if (all.length === 0) return 'nothing any more: send a new link';
  return all.length === 1 ? (all[0] ?? '') : `${all.slice(0, -1).join(', ')} and ${all.at(-1) ?? ''}`;
}

export interface State {
  label: string;
  color: string;
}

/** What must be known of an account at a glance; nothing for one that simply is there. */
export function stateOf(a: Account): State | undefined {
  if (!a.active) return { label: 'Deactivated', color: 'gray' };
  if (a.accepted_at) return a.invited_until ? { label: 'New link sent', color: 'yellow' } : undefined;
  return { label: 'Invited', color: 'blue' };
}
