import { describe, expect, it } from 'vitest';
import { standingOf } from './nodes';

describe('standingOf', () => {
  it('has a word for every mode', () => {
    const words = (['alone', 'fresh', 'joining', 'sql_only', 'lost'] as const).map((mode) => standingOf({ heard: 'now', mode, draining: false }).word);
    expect(words).toEqual(['Alone', 'Well', 'Joining', 'Without Redis', 'Answers nothing']);
  });
  it('believes nothing that a silent node said last', () => {
    expect(standingOf({ heard: 'silent', mode: 'fresh', draining: false }).word).toBe('Silent');
    expect(standingOf({ heard: 'unknown', mode: 'fresh', draining: true }).word).toBe('Not heard');
  });
  it('tells of a node that ends, and of one that says nothing', () => {
    expect(standingOf({ heard: 'self', mode: 'fresh', draining: true }).word).toBe('Ending');
    expect(standingOf({ heard: 'listed', draining: false }).word).toBe('Listed');
  });
});
