import { describe, expect, it } from 'vitest';
import { Problem } from './problem';

describe('Problem', () => {
  it('keeps what a person can act on', () => {
    const p = Problem.from(403, { type: 'urn:gatehouse:problem:not-allowed', detail: 'You may not do this.', event_id: 'evt_1' });
    expect([p.message, p.eventId, p.status]).toEqual(['You may not do this.', 'evt_1', 403]);
  });
  it('names the fields that are wrong', () => {
    const p = Problem.from(422, { detail: 'Wrong form.', errors: [{ location: 'body.name', message: 'too short' }] });
    expect(p.message).toBe('Wrong form. name: too short');
    expect(p.fields).toEqual({ name: 'too short' });
  });
  it('says once what is said of the one field', () => {
    const p = Problem.from(400, { detail: 'Scopes lack "openid".', errors: [{ location: 'path.name', message: 'Scopes lack "openid".' }] });
    expect([p.message, p.fields]).toEqual(['Scopes lack "openid".', { name: 'Scopes lack "openid".' }]);
  });
  it('has words for an answer that is no problem document', () => {
    expect(Problem.from(502, '<html>').message).toContain('Try again');
    expect(Problem.from(418, undefined).message).toContain('418');
  });
});
