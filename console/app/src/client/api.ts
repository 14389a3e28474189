import createClient from 'openapi-fetch';
import type { components, paths } from '../generated/api';
import { Problem } from './problem';

type Schemas = components['schemas'];
export type Me = Schemas['Me'];
export type Session = Schemas['Session'];
export type Device = Schemas['Device'];
export type User = Schemas['User'];
export type AuditEvent = Schemas['Event'];
export type Revocation = Schemas['Revocation'];
export type Role = Schemas['Role'];
export type Assignment = Schemas['Assignment'];
export type Team = Schemas['Team'];
export type Group = Schemas['Group'];
export type GroupRef = Schemas['GroupRef'];
export type GroupMember = Schemas['Member'];
export type HeldRole = Schemas['HeldRole'];
export type Connection = Schemas['Connection'];
export type ConnectionSpec = Schemas['ConnectionSpec'];
export type ConnectionChange = Schemas['ConnectionChange'];
export type SAMLState = Schemas['SAMLState'];
export type SAMLKey = Schemas['SAMLKey'];
export type OIDCState = Schemas['OIDCState'];
export type OIDCKey = Schemas['OIDCKey'];
export type Provider = Schemas['Provider'];
export type Domain = Schemas['Domain'];
export type Token = Schemas['Token'];
export type Service = Schemas['Service'];
export type PersonIdentity = Schemas['PersonIdentity'];
export type LocalAccount = Schemas['LocalAccount'];
export type LocalInvitation = Schemas['LocalInvitation'];
export type Webhook = Schemas['Webhook'];
export type WebhookDelivery = Schemas['Delivery'];
export type Settings = Schemas['TenantSettings'];
export type ScimBrake = Schemas['ScimBrake'];
export type SCIMRequest = Schemas['SCIMRequest'];
export type SCIMRequestDetails = Schemas['SCIMRequestDetails'];
export type SCIMChange = Schemas['SCIMChange'];
export type GoogleSync = Schemas['GoogleSync'];
export type GoogleInput = Schemas['GoogleSyncSpec'];
export type Tenant = Schemas['TenantView'];
export type Alert = Schemas['Alert'];
export type GatewayNode = Schemas['Node'];

const base = '/.gatehouse/api';

export const api = createClient<paths>({
  baseUrl: base,
  credentials: 'same-origin',
  headers: { Accept: 'application/json' },
});

export const streamURL = `${base}/v1/audit/stream`;

/** Sends the browser to sign in, and back to where it was. */
export function signIn(): void {
  const here = window.location.pathname + window.location.search;
  window.location.assign(`/.gatehouse/login?return_to=${encodeURIComponent(here)}`);
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** Unwraps an answer: its data, or a Problem thrown. */
export async function done<T>(answer: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await answer;
  if (response.ok) return data as T;
  if (response.status === 401) signIn();
  throw Problem.from(response.status, error);
}

/** Unwraps an answer together with its ETag, which a change goes by (If-Match). */
export async function tagged<T>(answer: Promise<Answer<T>>): Promise<{ data: T; tag: string }> {
  const got = await answer;
  return { data: await done(Promise.resolve(got)), tag: got.response.headers.get('ETag') ?? '*' };
}
