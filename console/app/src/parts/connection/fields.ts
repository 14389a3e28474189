import type { ConnectionSpec, Provider } from '../../client/api';

export type Key = keyof ConnectionSpec;
export type Type = ConnectionSpec['type'];

/** Themes are what stands under "Advanced", in this order. */
export const themes = {
  names: { title: 'Names, addresses and groups', lead: 'Where the provider says who somebody is.' },
  rules: { title: 'Groups by rules', lead: 'What the provider says of people decides which groups they are in here.' },
  ways: { title: 'How people prove who they are', lead: 'What the provider is to ask of people.' },
  recheck: { title: 'Asking the provider again', lead: 'Whether somebody who has left is noticed before their session ends.' },
  entra: { title: 'Microsoft Entra ID', lead: 'For people of several directories, or in very many groups.' },
  signing: { title: 'Signatures and encryption', lead: 'How messages between the provider and us are protected.' },
  client: { title: 'How the provider is asked', lead: 'The protocol, where a provider differs from the usual.' },
  addresses: { title: 'Addresses of the provider', lead: 'The preset knows them; what is entered here wins.' },
  exceptions: { title: 'Exceptions for old providers', lead: 'Each gives up some protection: leave them off unless the provider cannot do better.' },
  signals: { title: 'Security events', lead: 'Sessions end when the provider, or whoever looks after devices, says that something is wrong.' },
} as const;

export type Theme = keyof typeof themes;
export type Place = 'head' | 'provider' | 'people' | Theme;

interface About {
  label: string;
  /** One sentence on what it does, and what holds without it. */
  help: string | ((spec: ConnectionSpec) => string);
  /** The types of connection that it is for; absent: all. */
  of?: readonly Type[];
  at: Place | ((spec: ConnectionSpec) => Place);
  /** What is lost by a value. */
  risks?: Record<string, string>;
}

export interface Text {
  as: 'text' | 'url' | 'secret' | 'role' | 'duration';
  longest: number;
  needed?: (spec: ConnectionSpec) => boolean;
  example?: (provider: Provider | undefined) => string | undefined;
}
export interface Words { as: 'words'; most: number; commas?: true; suggestions?: string[] }
export interface Checks { as: 'checks'; options: Record<string, string> }
export interface Flag { as: 'flag'; /** What its absence means. */ unset: boolean }
export interface Amount { as: 'amount'; least: number; most: number; unit: string }
export interface Choice<V extends string = string> { as: 'choice'; options: Record<V, string>; lacks?: Partial<Record<Type, V>> }
/** Own has a part of its own, because it holds several values. */
export interface Own { as: 'own' }

// A choice has words for every value that the API knows, and no others.
type Control<V> = [V] extends [boolean] ? Flag
  : [V] extends [number] ? Amount
  : [V] extends [string[]] ? Words | Checks
  : [V] extends [string] ? (string extends V ? Text : Choice<V>)
  : Own;
type Field<K extends Key> = About & Control<NonNullable<ConnectionSpec[K]>>;

/** The fields that have a part of their own. */
export type OwnKey = { [K in Key]-?: Control<NonNullable<ConnectionSpec[K]>> extends Own ? K : never }[Key];

const withPreset = (place: Place, without: Place) => (spec: ConnectionSpec) => (spec.preset ? place : without);
const unlessPreset = (spec: ConnectionSpec) => spec.type === 'oauth2' && !spec.preset;
const always = () => true;
/** Whoever has a provider; local accounts have none. */
export const federated: readonly Type[] = ['oidc', 'saml', 'oauth2'];

/**
 * Every field of a connection, in the order in which they are shown: its place in
 * the form, its words and its control. A field that the API has and this has not,
 * or the reverse, does not compile.
 */
export const fields: { [K in Key]-?: Field<K> } = {
  type: { at: 'head', label: 'Protocol', help: 'It cannot be changed later', as: 'choice', options: { oidc: 'OpenID Connect', saml: 'SAML 2.0', oauth2: 'OAuth 2.0', local: 'Local accounts' } },
  display_name: { at: 'head', label: 'Shown as', help: 'What people choose it by; empty: the name', as: 'text', longest: 200 },

  issuer: {
    of: ['oidc', 'oauth2'], at: (s) => (s.type === 'oidc' ? 'provider' : 'client'), label: 'Issuer', as: 'url', longest: 2048,
    help: (s) => (s.type === 'oidc' ? 'How the provider names itself; everything else is found by it' : 'How the provider names itself in its answers (RFC 9207); empty: it does not'), needed: (s) => s.type === 'oidc', example: (p) => p?.issuer,
  },
  preset: { of: ['oauth2'], at: 'provider', label: 'Preset', help: 'A provider whose addresses and claims are known; none: enter them', as: 'choice', options: { '': 'None', github: 'GitHub' } },
  authorization_url: { of: ['oauth2'], at: withPreset('addresses', 'provider'), label: 'Authorisation URL', help: 'Where people sign in', as: 'url', longest: 2048, needed: unlessPreset },
  token_url: { of: ['oauth2'], at: withPreset('addresses', 'provider'), label: 'Token URL', help: 'Where we redeem what people come back with; it is shown the client secret', as: 'url', longest: 2048, needed: unlessPreset },
  userinfo_url: { of: ['oauth2'], at: withPreset('addresses', 'provider'), label: 'User URL', help: "The provider's API that says who a token belongs to", as: 'url', longest: 2048, needed: unlessPreset },
  client_id: { of: ['oidc', 'oauth2'], at: 'provider', label: 'Client id', help: 'The name that the provider gave us', as: 'text', longest: 512, needed: always },
  client_auth: {
    of: ['oidc', 'oauth2'], at: (s) => (s.type === 'oidc' ? 'provider' : 'client'), label: 'We show who we are by', help: (s) => (s.type === 'oidc' ? 'As the client is set up there; by default a secret, in the way that the provider takes' : 'As the client is set up there; by default a secret, in the header or as the preset says'), as: 'choice',
    options: { '': 'The client secret', client_secret_basic: 'The client secret, in the header', client_secret_post: 'The client secret, in the form', private_key_jwt: 'A key of ours (private_key_jwt)' },
    lacks: { oauth2: 'private_key_jwt' },
  },
  client_secret: { of: ['oidc', 'oauth2'], at: 'provider', label: 'Client secret', help: 'Never shown again; empty: none', as: 'secret', longest: 4096 },
  idp_metadata: { of: ['saml'], at: 'provider', label: 'Metadata of the provider', help: 'Says where people sign in and whose signature counts', as: 'own' },
  attributes: { of: ['saml'], at: 'provider', label: 'Attributes', help: 'Which attributes hold what, by Name or FriendlyName; empty: the usual names are tried', as: 'own' },
  claims: { of: ['oidc', 'oauth2'], at: (s) => (unlessPreset(s) ? 'provider' : 'names'), label: 'Claims', help: 'Which claims hold what', as: 'own' },

  enabled: { at: 'people', label: 'People can sign in by it', help: 'Off: it can be tested, and nobody signs in by it; on by default', as: 'flag', unset: true },
  default_role: { of: federated, at: 'people', label: 'New people become', help: 'The role that people have from their first sign-in on; empty: none', as: 'role', longest: 63 },
  unknown_people: {
    of: federated, at: 'people', label: 'Somebody who is not known yet', help: 'By default a first sign-in makes a person', as: 'choice',
    options: { '': 'Is made a person here', refuse: 'Is refused: only whom SCIM or an admin has made comes in' },
  },
  link: {
    of: federated, at: 'people', label: 'A first sign-in takes over', help: 'Whose account here somebody gets who comes by it for the first time; by default nobody’s', as: 'choice',
    options: { '': 'Nobody', email: 'The person with the same verified address', external_id: 'The person whom SCIM gave the same external id' },
    risks: { email: 'The provider becomes whoever it likes here: an address that it calls verified is enough to take over the person who has it, owners too.', external_id: 'The provider and SCIM must mean the same people by their ids: whoever shows another’s id becomes that person.' },
  },
  allowed_domains: { of: federated, at: 'people', label: 'Allowed domains', help: 'Only people with a verified address in one of them come in; empty: any', as: 'words', most: 100, commas: true },
  allowed_groups: { of: federated, at: 'people', label: 'Allowed groups', help: 'Only people in one of these groups of the provider come in, by their exact names; empty: anybody', as: 'words', most: 100 },
  anybody: {
    of: ['oidc', 'oauth2'], at: 'people', label: 'Anybody with an account there', help: 'Needed where anybody can make an account (Google, gitlab.com, GitHub) and neither domains nor groups are named; off by default', as: 'flag', unset: false,
    risks: { true: 'Whoever makes an account at the provider comes in.' },
  },

  scopes: { of: ['oidc', 'oauth2'], at: 'names', label: 'Scopes', help: (s) => (s.type === 'oidc' ? 'What the provider is asked for; empty: openid, profile and email' : s.preset ? 'What the provider is asked for; empty: what the preset says' : 'What the provider is asked for; empty: nothing in particular'), as: 'words', most: 20, commas: true },
  name_id_format: {
    of: ['saml'], at: 'names', label: 'People are named by (NameID)', help: 'What the provider is asked for; by default its own choice, which must last', as: 'choice',
    options: { '': 'What the provider chooses', persistent: 'A lasting name that says nothing else', email: 'An email address', unspecified: 'Unspecified, in so many words' },
    risks: { email: 'An address can be given to somebody else, who then is the person that had it before.' },
  },
  emails_url: { of: ['oauth2'], at: 'names', label: 'Addresses URL', help: 'Lists a person’s email addresses, and which are verified; empty: the claims name one', as: 'url', longest: 2048 },
  groups_from: { of: ['oauth2'], at: 'names', label: 'Organisations and teams from', help: 'Addresses that list the groups of whoever signs in; none: the claim with the groups, or what the preset says', as: 'own' },

  group_rules: { of: federated, at: 'rules', label: 'Rules', help: 'Looked at when somebody signs in: people are put into the group if a claim or attribute has one of the values, and taken out if not', as: 'own' },

  prompt: {
    of: ['oidc'], at: 'ways', label: 'At every sign-in the provider asks people', help: 'By default it decides, and often asks nothing of who is signed in there', as: 'checks',
    options: { login: 'To sign in anew', select_account: 'Which account to use', consent: 'For their consent' },
  },
  max_age: { of: ['oidc'], at: 'ways', label: 'People may have signed in at the provider', help: 'That long ago: the provider is asked for a newer sign-in where it is longer, and one of which it does not say when is refused; 1m to 720h, such as 12h; empty: any', as: 'duration', longest: 20 },
  acr_values: { of: ['oidc'], at: 'ways', label: 'Classes of sign-in that count (acr)', help: 'The provider is asked for them, the first most, and a sign-in by another one is refused; empty: any', as: 'words', most: 10, commas: true },
  force_authn: { of: ['saml'], at: 'ways', label: 'People authenticate at every sign-in', help: 'Even if they are signed in at the provider (ForceAuthn); off by default', as: 'flag', unset: false },
  requested_authn_context: { of: ['saml'], at: 'ways', label: 'Classes of sign-in that count', help: 'Asked for as RequestedAuthnContext, and a sign-in by another one is refused; empty: any, and none is asked for', as: 'words', most: 10, commas: true },

  recheck: { of: ['oidc'], at: 'recheck', label: 'Ask again every', help: 'Whoever the provider refuses is signed out; 5m to 720h, such as 15m or 4h; empty: never', as: 'duration', longest: 20 },
  recheck_grace: { of: ['oidc'], at: 'recheck', label: 'People go on without an answer for', help: 'While the provider cannot be asked; then they are signed out; empty: 24h', as: 'duration', longest: 20 },

  entra_tenants: { of: ['oidc'], at: 'entra', label: 'Directories', help: 'Tenant ids whose people may sign in, for an issuer such as …/organizations/v2.0; empty: the issuer is one directory', as: 'words', most: 100, commas: true },
  groups_url: { of: ['oidc'], at: 'entra', label: 'Groups URL', help: 'Where the groups are of people who are in too many for a token; empty: Microsoft Graph', as: 'url', longest: 2048 },

  signed: {
    of: ['saml'], at: 'signing', label: 'The provider must have signed', help: 'By default one of the two is enough; only what is signed is read', as: 'choice',
    options: { '': 'The response or the assertion', response: 'The response', assertion: 'The assertion', both: 'Both' },
  },
  encryption: {
    of: ['saml'], at: 'signing', label: 'Encrypted assertions', help: 'By default our metadata shows no key to encrypt with, though what comes encrypted is read', as: 'choice',
    options: { '': 'Not offered', offered: 'Offered in our metadata', required: 'Required: what is not encrypted is refused' },
  },
  sign_requests: { of: ['saml'], at: 'signing', label: 'Sign every request', help: 'Off, the default: only where the provider’s metadata wants it', as: 'flag', unset: false },
  request_binding: {
    of: ['saml'], at: 'signing', label: 'Requests go to the provider', help: 'By default in an address (HTTP-Redirect) where its metadata has one for that, else in a form (HTTP-POST)', as: 'choice',
    options: { '': 'As its metadata says', redirect: 'In an address (HTTP-Redirect)', post: 'In a form (HTTP-POST), which may be large' },
  },
  clock_skew_seconds: { of: ['saml'], at: 'signing', label: 'The provider’s clock may be wrong by', help: 'Up to 300 seconds; empty: 60', as: 'amount', least: 1, most: 300, unit: 's' },

  pkce: {
    of: ['oauth2'], at: 'client', label: 'PKCE', help: 'Binds what comes back to the browser that asked; on by default', as: 'choice', options: { '': 'On (S256)', none: 'Off: the provider refuses requests with it' },
    risks: { none: 'Whoever gets hold of a code on its way back can have it redeemed: only the state of the browser stands against that.' },
  },
  revocation_url: { of: ['oauth2'], at: 'client', label: 'Revocation URL', help: 'Takes the access token back once it was used; empty: it stays good until it expires', as: 'url', longest: 2048 },

  allow_sha1: {
    of: ['saml'], at: 'exceptions', label: 'Take signatures by SHA-1', help: 'Off by default: they are refused', as: 'flag', unset: false,
    risks: { true: 'SHA-1 is broken: who can pay for a collision can make the provider’s signature fit what it never said, and sign in as anybody.' },
  },
  allow_cbc: {
    of: ['saml'], at: 'exceptions', label: 'Take assertions encrypted by AES-CBC', help: 'Off by default: only AES-GCM is read; on, the response around them must be signed', as: 'flag', unset: false,
    risks: { true: 'AES-CBC does not notice changes: whoever carries an assertion can try to have it decrypted piece by piece.' },
  },
  idp_initiated: {
    of: ['saml'], at: 'exceptions', label: 'The provider may begin a sign-in', help: 'From its own list of apps, without a request of ours; off by default', as: 'flag', unset: false,
    risks: { true: 'Any site can have a browser bring such a sign-in: somebody who is not signed in can find themselves signed in as somebody else.' },
  },

  signals: { of: federated, at: 'signals', label: 'Security events', help: 'Whose events are heard (Shared Signals Framework); by default nobody’s', as: 'own' },
};

/** All fields, in their order. */
export const keysOf = Object.keys(fields) as Key[];

/** Whether a type of connection has the field. */
export function isOf(key: Key, type: Type): boolean {
  return fields[key].of?.includes(type) ?? true;
}

/** What a field does, in words. */
export function helpOf(key: Key, spec: ConnectionSpec): string {
  const { help } = fields[key];
  return typeof help === 'function' ? help(spec) : help;
}

/** Where a field stands in the form of this connection. */
export function placeOf(key: Key, spec: ConnectionSpec): Place {
  const { at } = fields[key];
  return typeof at === 'function' ? at(spec) : at;
}

/** The fields that stand in a place. */
export function keysAt(place: Place, spec: ConnectionSpec): Key[] {
  return keysOf.filter((key) => isOf(key, spec.type) && placeOf(key, spec) === place);
}
