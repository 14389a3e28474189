import { expect, test } from 'vitest';
import { behind, outcomeOf, stateOf, stoppedBecause } from './webhooks';

test('how far it has come', () => {
  expect(behind(0)).toBe('up to date');
  expect(behind(1)).toBe('1 change behind');
  expect(behind(1234)).toBe('1,234 changes behind');
  expect(behind(10_000)).toBe('10,000 changes or more behind');
});

test('what became of a message', () => {
  expect(outcomeOf({ taken: true, status: 204, took_ms: 12 })).toBe('Taken: answered 204, 12 ms');
  expect(outcomeOf({ taken: false, status: 500, took_ms: 1200 })).toBe('Not taken: answered 500, 1,200 ms');
  expect(outcomeOf({ taken: false, problem: 'no answer', took_ms: 10_000 })).toBe('Not taken: no answer, 10,000 ms');
});

test('how it stands', () => {
  expect(stateOf({ state: 'on' }).label).toBe('On');
  expect(stateOf({ state: 'stopped' })).toEqual({ label: 'Stopped', color: 'red' });
  expect(stoppedBecause({ stopped_because: 'gone' })).toContain('410');
  expect(stoppedBecause({ stopped_because: 'failing' })).toContain('three days');
});
