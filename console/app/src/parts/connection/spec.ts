import type { Connection, ConnectionSpec, Provider } from '../../client/api';
import { Problem } from '../../client/problem';
import { federated, fields, keysOf, placeOf, themes, type Key, type Theme } from './fields';

/** A provider of which nothing is known but the protocol; the API lists those with presets alone. */
export const otherOAuth2: Provider = { id: 'oauth2', title: 'Another provider with OAuth 2.0', type: 'oauth2', guide: 'README' };

/** A spec without what is empty, as the API wants it and gives it. */
export function tidy(spec: ConnectionSpec): ConnectionSpec {
  return (pruned(spec) ?? {}) as ConnectionSpec;
}

function pruned(value: unknown): unknown {
  if (value === '' || value === null) return undefined;
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.map((item) => (typeof item === 'object' ? pruned(item) ?? {} : item));
  if (typeof value !== 'object') return value;
  const full = Object.entries(value).map(([k, v]) => [k, pruned(v)] as const).filter(([, v]) => v !== undefined);
  return full.length === 0 ? undefined : Object.fromEntries(full);
}

/** What a provider is known to need; what holds for every type stays as it is. */
export function startedFrom(provider: Provider, before: ConnectionSpec): ConnectionSpec {
  const type = provider.type as ConnectionSpec['type'];
  const general = Object.fromEntries(Object.entries(before).filter(([key]) => (fields[key as Key].of ?? federated) === federated)) as Partial<ConnectionSpec>;
  return tidy({
    ...general, type, scopes: provider.scopes, preset: provider.preset as ConnectionSpec['preset'],
    ...(provider.names && (type === 'saml' ? { attributes: provider.names } : { claims: provider.names })),
  });
}

/** What is wrong, by the path of the field: "issuer", "group_rules[0].claim". */
export type Errors = Readonly<Record<string, string>>;

/** What must still hold for the form to be saved: the version that was read, or for a new connection that there is none. */
export function conditionOf(connection: Connection | undefined, tag: string | undefined): { 'If-Match'?: string; 'If-None-Match'?: '*' } {
  if (!connection) return { 'If-None-Match': '*' };
  return tag ? { 'If-Match': tag } : {};
}

/** What the API says is wrong, at the fields that it points to. */
export function errorsOf(error: unknown): Errors {
  return error instanceof Problem ? error.fields : {};
}

/** The field that a path leads into. */
export function keyOf(path: string): Key | undefined {
  const [key] = path.split(/[.[]/);
  return key && key in fields ? (key as Key) : undefined;
}

/** The themes that must be open for these errors to be seen. */
export function themesOf(errors: Errors, spec: ConnectionSpec): Theme[] {
  const places = Object.keys(errors).flatMap((path) => {
    if (path === 'idp_metadata.fingerprint') return ['signing' as const];
    const key = keyOf(path);
    return key ? [placeOf(key, spec)] : [];
  });
  return (Object.keys(themes) as Theme[]).filter((theme) => (places as string[]).includes(theme));
}

/** How many of the fields are set. */
export function countSet(keys: Key[], spec: ConnectionSpec): number {
  const said = tidy(spec);
  return keys.filter((key) => said[key] !== undefined).length;
}

/** Whether both say the same. */
export function same(a: ConnectionSpec, b: ConnectionSpec): boolean {
  const [left, right] = [tidy(a), tidy(b)];
  return keysOf.every((key) => JSON.stringify(left[key]) === JSON.stringify(right[key]));
}
