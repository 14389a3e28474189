import { describe, expect, it } from 'vitest';
import type { Connection, ConnectionSpec } from '../../client/api';
import { Problem } from '../../client/problem';
import { helpOf, isOf, keysOf, placeOf, themes } from './fields';
import { conditionOf, errorsOf, otherOAuth2, startedFrom, themesOf, tidy } from './spec';

const full: ConnectionSpec = {
  type: 'oidc', enabled: false, issuer: 'https://idp.example', client_id: 'x', scopes: ['openid'], claims: { groups: 'roles' },
  group_rules: [{ claim: 'd', values: ['a, b', 'c'], group: 'g' }], signals: { issuer: 'https://mdm.example', poll: { endpoint: 'https://mdm.example/poll' } },
};

describe('tidy', () => {
  it('changes nothing of what the API gives', () => {
    expect(tidy(full)).toEqual(full);
  });
  it('leaves out what was emptied', () => {
    expect(tidy({ ...full, client_secret: '', scopes: [], claims: { groups: '', email: undefined }, signals: undefined, group_rules: [] }))
      .toEqual({ type: 'oidc', enabled: false, issuer: 'https://idp.example', client_id: 'x' });
  });
  it('keeps a row that is not filled in, so that it is complained of and not lost', () => {
    expect(tidy({ ...full, group_rules: [{ claim: '', values: [], group: '' }] }).group_rules).toEqual([{}]);
  });
});

describe('startedFrom', () => {
  it('keeps the general rules and nothing of another type', () => {
    const saml = startedFrom({ id: 'adfs', title: 'AD FS', type: 'saml', guide: 'adfs', names: { email: 'mail' } }, full);
    expect(saml).toEqual({ type: 'saml', enabled: false, attributes: { email: 'mail' }, group_rules: full.group_rules, signals: full.signals });
    expect(startedFrom(otherOAuth2, { type: 'saml', force_authn: true })).toEqual({ type: 'oauth2' });
  });
});

describe('places', () => {
  it('gives every field of every type one', () => {
    for (const type of ['oidc', 'saml', 'oauth2'] as const) {
      for (const key of keysOf.filter((k) => isOf(k, type))) {
        expect(['head', 'provider', 'people', ...Object.keys(themes)], key).toContain(placeOf(key, { type }));
      }
    }
  });
  it('says of every field what holds without it, in one sentence', () => {
    for (const type of ['oidc', 'saml', 'oauth2'] as const) for (const key of keysOf) expect(helpOf(key, { type }), key).toMatch(/^\S[^\n]*[^.\s]$/);
  });
});

describe('conditionOf', () => {
  it('never lets a form overwrite what it has not read', () => {
    const read = { name: 'idp' } as Connection;
    expect(conditionOf(undefined, undefined)).toEqual({ 'If-None-Match': '*' });
    expect(conditionOf(read, '"3"')).toEqual({ 'If-Match': '"3"' });
  });
});

describe('errorsOf', () => {
  const bad = (detail: string) => Problem.from(400, { type: 'urn:gatehouse:problem:bad-connection', detail: `The connection is not right: ${detail}.` });
  const spec: ConnectionSpec = { type: 'oidc' };
  it('takes the API at its pointer', () => {
    const found = errorsOf(Problem.from(422, { detail: 'Wrong.', errors: [{ location: 'body.group_rules[0].claim', message: 'too short' }] }), spec);
    expect(found).toEqual({ 'group_rules[0].claim': 'too short' });
    expect(themesOf(found, spec)).toEqual(['rules']);
  });
  it('finds the field that is named in words', () => {
    const of = (detail: string, type: ConnectionSpec['type'] = 'oidc') => Object.keys(errorsOf(bad(detail), { type }));
    expect(of('recheck_grace goes with recheck, and is from that to 720h0m0s')).toEqual(['recheck_grace']);
    expect(of('client_secret_basic needs a client_secret')).toEqual(['client_secret']);
    expect(of('the issuer of signals is an https URL')).toEqual(['signals']);
    expect(of('the claim of a group rule is 1 to 256 bytes')).toEqual(['group_rules']);
    expect(of('the fingerprint of idp_metadata is a SHA-256 in hex', 'saml')).toEqual(['idp_metadata']);
  });
  it('guesses nothing of other refusals', () => {
    expect(errorsOf(Problem.from(403, { type: 'urn:gatehouse:problem:more-than-you-have', detail: 'Whom the issuer trusts' }), spec)).toEqual({});
    expect(errorsOf(new TypeError('fetch failed'), spec)).toEqual({});
  });
});
