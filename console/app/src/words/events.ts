/** What the console knows about the journal's vocabulary. */

type List = 'sessions' | 'devices' | 'users' | 'roles' | 'assignments' | 'teams' | 'connections' | 'domains' | 'setupLinks' | 'localAccounts' | 'tokens' | 'services' | 'webhooks' | 'tenants' | 'groups' | 'alerts' | 'nodes' | 'factors' | 'identities' | 'brake';

const touched: Record<string, List[]> = {
  session: ['sessions', 'devices'],
  signin: ['sessions', 'devices'],
  device: ['devices', 'sessions'],
  user: ['users', 'sessions', 'localAccounts'],
  local_account: ['localAccounts', 'users', 'sessions', 'factors'],
  identity: ['identities', 'users'],
  group: ['groups', 'users'],
  team: ['teams'],
  policy: ['roles', 'assignments', 'groups', 'users'],
  connection: ['connections'],
  domain: ['domains'],
  setup_link: ['setupLinks'],
  token: ['tokens'],
  factor: ['factors'],
  service: ['services'],
  webhook: ['webhooks'],
  scim: ['brake'],
  tenant: ['tenants', 'brake'],
  alert: ['alerts', 'nodes'],
  gateway: ['nodes'],
};

/** The lists that look different after an event of this type. */
export function listsTouchedBy(type: string): List[] {
  return touched[type.split('.')[0] ?? ''] ?? [];
}

/** The types to filter by, in groups that a person thinks in. */
export const eventGroups: { label: string; types: string[] }[] = [
  { label: 'Sign-ins', types: ['signin.started', 'signin.succeeded', 'signin.refused', 'device_login.asked', 'device_login.allowed', 'device_login.denied', 'device_login.refused'] },
  { label: 'Sign-outs', types: ['session.signed_out', 'session.revoked', 'session.expired', 'session.rechecked', 'session.revocation_deferred', 'session.revocation_settled', 'signout.refused', 'signout.at_provider', 'signal.received', 'signal.refused'] },
  { label: 'Second factors', types: ['factor.added', 'factor.renamed', 'factor.removed', 'factor.recovery_codes_made', 'factor.reset', 'factor.refused', 'session.stepped_up'] },
  { label: 'Local accounts', types: ['local_account.invited', 'local_account.accepted', 'local_account.password_changed', 'local_account.deleted'] },
  { label: 'Refused requests', types: ['access.refused', 'request.refused'] },
  { label: 'Devices', types: ['device.new', 'device.changed'] },
  {
    label: 'People and groups',
    types: ['user.created', 'user.changed', 'user.deactivated', 'user.activated', 'user.deleted', 'user.erased', 'identity.linked', 'identity.unlinked', 'group.created', 'group.changed', 'group.deleted'],
  },
  { label: 'Mass changes by SCIM', types: ['scim.brake.held', 'scim.brake.released', 'scim.brake.rejected', 'scim.brake.reset'] },
  { label: 'Google Workspace', types: ['directory_sync.changed', 'directory_sync.deleted', 'directory_sync.finished', 'directory_sync.failed'] },
  { label: 'Teams and roles', types: ['team.created', 'team.changed', 'team.deleted', 'policy.changed'] },
  { label: 'Connections, tokens and services', types: ['connection.changed', 'connection.deleted', 'connection.tested', 'setup_link.created', 'setup_link.begun', 'setup_link.finished', 'setup_link.deleted', 'domain.changed', 'domain.verified', 'domain.deleted', 'token.created', 'token.rotated', 'token.taken_over', 'token.granted', 'token.refused', 'token.revoked', 'service.changed', 'service.deleted', 'webhook.changed', 'webhook.deleted', 'webhook.disabled'] },
  { label: 'Tenant and journal', types: ['tenant.created', 'tenant.changed', 'tenant.deleted', 'audit.exported', 'journal.recovered'] },
  { label: 'Gateway and alerts', types: ['alert.raised', 'alert.cleared', 'gateway.started', 'gateway.stopped', 'gateway.reloaded'] },
];

const titles: Record<string, string> = {
  'access.allowed': 'Request allowed',
  'access.refused': 'Request refused',
  'request.refused': 'Malformed request refused',
  'signin.started': 'Sign-in started',
  'signin.succeeded': 'Signed in',
  'signin.refused': 'Sign-in refused',
  'device_login.asked': 'A program asks to be signed in',
  'device_login.allowed': 'Program allowed',
  'device_login.denied': 'Program denied',
  'device_login.refused': 'Program refused',
  'session.signed_out': 'Signed out',
  'session.revoked': 'Signed out from afar',
  'signout.refused': 'Sign-out refused',
  'signout.at_provider': 'Signed out at the provider',
  'signal.received': 'Security event received',
  'signal.refused': 'Security event refused',
  'session.expired': 'Session expired',
  'session.rechecked': 'The provider could not be asked again',
  'session.revocation_deferred': 'Signed out without the database',
  'session.revocation_settled': 'The database got a sign-out',
  'connection.tested': 'Connection tested',
  'setup_link.created': 'Set-up link made',
  'setup_link.begun': 'Set-up link begun',
  'setup_link.finished': 'Set up by a link',
  'setup_link.deleted': 'Set-up link taken back',
  'domain.changed': 'Domain led to a connection',
  'domain.verified': 'Domain verified',
  'domain.deleted': 'Domain removed',
  'session.stepped_up': 'Second factor shown for a session',
  'local_account.invited': 'Invited to a local account',
  'local_account.accepted': 'Local account set up',
  'local_account.password_changed': 'Password of a local account changed',
  'local_account.deleted': 'Local account taken away',
  'factor.added': 'Second factor added',
  'factor.renamed': 'Second factor renamed',
  'factor.removed': 'Second factor removed',
  'factor.recovery_codes_made': 'Recovery codes made',
  'factor.reset': 'Second factors reset',
  'factor.refused': 'Second factor refused',
  'identity.linked': 'Sign-in linked to a person',
  'identity.unlinked': 'Sign-in unlinked from a person',
  'scim.brake.held': 'Too many people taken out by SCIM: held',
  'scim.brake.released': 'Held people let go',
  'scim.brake.rejected': 'Held people kept',
  'scim.brake.reset': 'People who leave are counted anew',
  'webhook.disabled': 'Webhook stopped',
  'directory_sync.changed': 'Reading of Google Workspace changed',
  'directory_sync.deleted': 'Google Workspace is not read any more',
  'directory_sync.finished': 'Google Workspace was read',
  'directory_sync.failed': 'Google Workspace could not be read',
  'device.new': 'New device',
  'device.changed': 'Device changed',
  'policy.changed': 'Policy changed',
  'audit.exported': 'Journal exported',
  'gateway.started': 'Gateway started',
  'gateway.stopped': 'Gateway stopped',
  'journal.recovered': 'Journal recovered',
  'alert.raised': 'Alert',
  'alert.cleared': 'Alert is over',
};

/** A type in words: "user.deactivated" is "User deactivated". */
export function titleOf(type: string): string {
  const known = titles[type];
  if (known) return known;
  const words = type.replace(/[._]/g, ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Whether what somebody typed is the id of an event. */
export function isEventID(text: string): boolean {
  return /^evt_[0-9a-v]{26}$/.test(text.trim());
}
