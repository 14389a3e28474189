import { describe, expect, it } from 'vitest';
import { refusedSignIns, unlinking, visible } from './identities';

const refused = (id: string, subject: string | undefined, email?: string, reason = 'account-exists') => ({
  id, time: '2026-01-01T00:00:00Z', reason, ip: '192.0.2.1', connection: 'con_1', details: { connection: 'entra', ...(subject && { subject }), ...(email && { email }) },
});

describe('refused sign-ins', () => {
  it('are offered once each, those with an address of the person apart', () => {
    const { theirs, others } = refusedSignIns([refused('1', 'a'), refused('2', 'b', 'Ann@acme.example'), refused('3', 'b', 'ann@acme.example'),
      refused('4', 'c', undefined, 'person-unknown'), refused('5', 'd', 'ann@home.example')], [undefined, 'ann@ACME.example', 'ann@home.example']);
    expect(theirs.map((r) => r.event)).toEqual(['2', '5']);
    expect(others.map((r) => r.event)).toEqual(['1', '4']);
    expect(theirs[0]).toMatchObject({ connection: 'con_1', connectionName: 'entra', subject: 'b', email: 'Ann@acme.example', from: '192.0.2.1' });
  });
  it('are those alone that linking helps, and that are named whole', () => {
    expect(refusedSignIns([refused('1', undefined), refused('2', 'a…'), refused('3', 'a', '', 'wrong-audience'), { ...refused('4', 'a'), connection: undefined }], ['ann@acme.example']))
      .toEqual({ theirs: [], others: [] });
  });
  it('without an address are nobody\'s', () => {
    expect(refusedSignIns([refused('1', 'a'), refused('2', 'b', 'x@acme.example')], ['', undefined]).theirs).toEqual([]);
  });
  it('hide nothing in a subject', () => {
    expect(visible('ann\u202e\u200b|\n1 ä')).toBe('ann\\u{202e}\\u{200b}|\\u{a}1 ä');
  });
});

describe('unlinking', () => {
  it('says so where it is the last', () => {
    expect(unlinking('Ann', 2)).not.toContain('only one');
    expect(unlinking('Ann', 1)).toContain('the only one that Ann has');
  });
});
