import { expect, test } from 'vitest';
import type { SCIMRequest } from '../client/api';
import { changeTitle, lostBecause, membersOf, missingOf, momentOf, outcomeOf, readable, requestTitle } from './provisioning';

const request: SCIMRequest = { id: 'req_1', time: '', took_ms: 1, method: 'PATCH', path: '/scim/v2/Users/usr_1', name: 'ann', status: 200, failed: false, changed: true };

test('a request is named by what it asks for and whom it is about', () => {
  expect(requestTitle(request)).toBe('PATCH /Users/usr_1 · ann');
  expect(requestTitle({ ...request, path: '/scim/v2', name: '' })).toBe('PATCH /');
  expect(requestTitle({ ...request, lost: 1 })).toBe('1 request was not kept');
  expect(lostBecause({ ...request, lost: 7, status: 401 })).toContain('token');
});

test('what came of a request', () => {
  expect([request, { ...request, changed: false }, { ...request, failed: true }, { ...request, status: 409 }, { ...request, status: 503 }].map(outcomeOf))
    .toEqual(['changed', 'unchanged', 'partly', 'refused', 'failed']);
});

test('who came and went', () => {
  expect(changeTitle({ kind: 'User', id: 'usr_1', name: 'ann', action: 'deleted', attributes: [] })).toBe('Person ann deleted');
  expect(membersOf({ count: 3, first: [{ id: 'usr_1', name: 'Ann' }, { id: 'usr_2' }] })).toBe('Ann, usr_2 and 1 more');
  expect(membersOf({ count: 2000 })).toBe('2000');
});

test('a body is shown as it was sent, if it is no JSON', () => {
  expect(readable('{"a":1}')).toBe('{\n  "a": 1\n}');
  expect(readable('{"a":1,}')).toBe('{"a":1,}');
});

test('what is missing of a body is said, and a body that nobody read is not none', () => {
  expect(missingOf({ text: '' })).toBeUndefined();
  expect(missingOf({ text: '{}' })).toBeUndefined();
  expect(missingOf({ text: '{', left_out: 7 })).toBe('7 bytes more are not kept.');
  expect(missingOf({ text: '', left_out: 7, unread: true })).toContain('before any of its 7 bytes');
  expect(missingOf({ text: '', unread: true })).toContain('before any');
  expect(missingOf({ text: '{', unread: true })).toContain('not read to its end');
});

test('a field of date and time is meant in the time of the reader', () => {
  expect(momentOf('')).toBeUndefined();
  expect(momentOf('2026-01-02T03:04')).toBe(new Date(2026, 0, 2, 3, 4).toISOString());
});
