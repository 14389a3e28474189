import { describe, expect, it } from 'vitest';
import { refusedSignIns, unlinking } from './identities';

const refused = (id: string, subject: string | undefined, email?: string, reason = 'account-exists') => ({
  id, time: '2026-01-01T00:00:00Z', reason, connection: 'con_1', details: { connection: 'entra', ...(subject && { subject }), ...(email && { email }) },
});

describe('refused sign-ins', () => {
  it('are offered once each, those with the address of the person first', () => {
    const all = refusedSignIns([refused('1', 'a'), refused('2', 'b', 'Ann@acme.example'), refused('3', 'b', 'ann@acme.example'), refused('4', 'c', undefined, 'person-unknown')], 'ann@acme.example');
    expect(all.map((r) => r.event)).toEqual(['2', '1', '4']);
    expect(all[0]).toMatchObject({ connection: 'con_1', connectionName: 'entra', subject: 'b', email: 'Ann@acme.example' });
  });
  it('are those alone that linking helps, and that are named whole', () => {
    expect(refusedSignIns([refused('1', undefined), refused('2', 'a…'), refused('3', 'a', '', 'wrong-audience'), { ...refused('4', 'a'), connection: undefined }], 'ann@acme.example')).toEqual([]);
  });
  it('without an address are nobody\'s before others', () => {
    expect(refusedSignIns([refused('1', 'a'), refused('2', 'b', 'x@acme.example')], '').map((r) => r.event)).toEqual(['1', '2']);
    expect(refusedSignIns([refused('1', 'a'), refused('2', 'b', 'x@acme.example')], undefined).map((r) => r.event)).toEqual(['1', '2']);
  });
});

describe('unlinking', () => {
  it('says so where it is the last', () => {
    expect(unlinking('Ann', 2)).not.toContain('only one');
    expect(unlinking('Ann', 1)).toContain('the only one that Ann has');
  });
});
