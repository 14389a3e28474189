import { describe, expect, it } from 'vitest';
import { summary } from './revocation';

const done = { sessions: 1, devices: 1, connections_closed: 2, took_ms: 7, nodes: [{ id: 'n1', confirmed: true as const }] };

describe('summary', () => {
  it('tells what was ended and how fast', () => {
    expect(summary(done)).toBe('Signed out 1 session on 1 device, closed 2 open connections, in 7 ms.');
  });
  it('says when there was nothing to end', () => {
    expect(summary({ ...done, sessions: 0 })).toBe('Nobody was signed in there any more.');
  });
  it('says when the database has not got it, whoever was counted', () => {
    expect(summary({ ...done, sessions: 0, deferred: true })).toBe(
      'Signed out on every node, in 7 ms. The database cannot be reached and gets it when it is back.',
    );
  });
  it('names a node that was waited out', () => {
    expect(summary({ ...done, connections_closed: 0, nodes: [{ id: 'n2', confirmed: 'lease_expired' }] })).toBe(
      'Signed out 1 session on 1 device, in 7 ms. n2 did not answer and was waited out.',
    );
  });
});
