import { expect, test } from 'vitest';
import { rowsOf, settingOf } from './RoleNetworks';

test('rows and setting say the same', () => {
  const set = { owner: ['192.0.2.0/24', '2001:db8::/32'], admin: ['192.0.2.0/28'] };
  expect(rowsOf(set).map((row) => row.role)).toEqual(['admin', 'owner']);
  expect(settingOf(rowsOf(set))).toEqual(set);
  expect(rowsOf(undefined)).toEqual([]);
});

test('nothing that was written is dropped in silence', () => {
  expect(settingOf([{ role: '', networks: [] }])).toEqual({});
  expect(settingOf([{ role: 'owner', networks: [] }, { role: '', networks: ['192.0.2.0/24'] }])).toEqual({ owner: [], '': ['192.0.2.0/24'] });
  expect(settingOf([{ role: 'owner', networks: ['192.0.2.0/24'] }, { role: 'owner', networks: ['198.51.100.0/24'] }])).toEqual({ owner: ['192.0.2.0/24', '198.51.100.0/24'] });
});
