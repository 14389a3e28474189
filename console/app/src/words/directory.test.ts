import { describe, expect, it } from 'vitest';
import { attributeSections, endingWords, keptWords, listed, roleWords, sizeWords, throughWords } from './directory';

describe('sizeWords', () => {
  it('counts people and groups, and says when it stopped counting', () => {
    expect(sizeWords({ people: 0, groups: 0 })).toBe('nobody');
    expect(sizeWords({ people: 1, groups: 2 })).toBe('1 person, 2 groups');
    expect(sizeWords({ people: 0, groups: 1 })).toBe('1 group');
    expect(sizeWords({ people: 10000, groups: 0, at_least: true })).toBe('more than 10,000 people');
  });
});

describe('throughWords', () => {
  it('names the groups between', () => {
    expect(throughWords({})).toBeUndefined();
    expect(throughWords({ indirect: true, through: ['Founders'] })).toBe('through Founders');
    expect(throughWords({ indirect: true, through: ['a', 'b', 'c'] })).toBe('through a, b and c');
    expect(throughWords({ indirect: true })).toBe('through other groups');
    expect(listed([])).toBe('');
  });
});

describe('roleWords', () => {
  it('says for what and by whom', () => {
    expect(roleWords({ role: 'owner' })).toBe('owner');
    expect(roleWords({ role: 'team_admin', team: 'payments', group: { name: 'Ops' } })).toBe('team_admin in payments, by Ops');
  });
});

describe('endingWords', () => {
  const on = (id: string) => ({ device: { id } });
  it('counts the sessions and the devices', () => {
    expect(endingWords([on('a'), on('a'), on('b')], false)).toBe('3 sessions on 2 devices end at once.');
    expect(endingWords([on('a')], false)).toBe('1 session on 1 device ends at once.');
  });
  it('claims no number that it does not know', () => {
    expect(endingWords(undefined, false)).toBe('Their sessions end at once.');
    expect(endingWords([], false)).toBe('They are not signed in now.');
    expect(endingWords([on('a'), on('b')], true)).toBe('More than 2 sessions end at once.');
  });
});

describe('keptWords', () => {
  it('says where to change what is not changed here', () => {
    expect(keptWords('group', 'admin')).toBeUndefined();
    expect(keptWords('group', 'scim')).toContain('over SCIM');
    expect(keptWords('group', 'signin', 'okta')).toContain('the connection okta');
    expect(keptWords('person', 'signin')).not.toContain('rules');
    expect(keptWords('group', 'csv')).toContain('kept elsewhere');
  });
});

describe('attributeSections', () => {
  it('has nothing to say of nothing', () => {
    expect(attributeSections(undefined)).toEqual([]);
    expect(attributeSections({ emails: [], name: {}, title: '', schemas: ['x'] })).toEqual([]);
  });
  it('reads the core schema', () => {
    expect(attributeSections({
      addresses: [{ streetAddress: '1 Way', locality: 'London', type: 'work' }],
      emails: [{ value: 'ada@acme.example', type: 'work', primary: true }, { value: 'ada@home.example' }],
      name: { givenName: 'Ada', formatted: 'Dr Ada King' }, userType: 'Employee', title: 'Analyst',
    })).toEqual([{ title: '', lines: [
      { label: 'Name', values: ['Dr Ada King'] }, { label: 'Given name', values: ['Ada'] },
      { label: 'Title', values: ['Analyst'] }, { label: 'Kind of person', values: ['Employee'] },
      { label: 'Email addresses', values: ['ada@acme.example (work, primary)', 'ada@home.example'] },
      { label: 'Addresses', values: ['1 Way, London (work)'] },
    ] }]);
  });
  it('reads extensions, known and unknown', () => {
    expect(attributeSections({
      'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User': { department: 'Ops', manager: { value: 'usr_1', displayName: 'Bob' } },
      'urn:example:hats': { cap: true, sizes: [1, 2] }, 'urn:example:odd': 'text',
    })).toEqual([
      { title: 'Enterprise', lines: [{ label: 'Department', values: ['Ops'] }, { label: 'Manager', values: ['Bob'] }] },
      { title: 'urn:example:hats', lines: [{ label: 'Cap', values: ['yes'] }, { label: 'Sizes', values: ['1', '2'] }] },
    ]);
  });
});
