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
  const spec: ConnectionSpec = { type: 'oidc' };
  it('takes the API at its pointer', () => {
    const found = errorsOf(Problem.from(422, { detail: 'Wrong.', errors: [{ location: 'body.group_rules[0].claim', message: 'too short' }] }));
    expect(found).toEqual({ 'group_rules[0].claim': 'too short' });
    expect(themesOf(found, spec)).toEqual(['rules']);
  });
  it('takes it at its pointer for what the rules of a connection refuse', () => {
    const found = errorsOf(Problem.from(400, { type: 'urn:gatehouse:problem:bad-connection', detail: 'It is too short.', errors: [{ location: 'body.recheck_grace', message: 'It is too short.' }] }));
    expect(found).toEqual({ recheck_grace: 'It is too short.' });
    expect(themesOf(found, spec)).toEqual(['recheck']);
  });
  it('guesses nothing of other refusals', () => {
    expect(errorsOf(Problem.from(403, { type: 'urn:gatehouse:problem:more-than-you-have', detail: 'Whom the issuer trusts' }))).toEqual({});
    expect(errorsOf(new TypeError('fetch failed'))).toEqual({});
  });
});
