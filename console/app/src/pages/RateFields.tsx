import { Group, NumberInput, Switch } from '@mantine/core';
import type { Settings } from '../client/api';

type Rate = NonNullable<NonNullable<Settings['scim']>['rate']>;

/** How many SCIM requests are let through, as it is typed; empty: by default. */
export interface RateRow {
  on: boolean;
  token: number | string;
  tenant: number | string;
}

export function rateRow(kept: Settings['scim']): RateRow {
  const r = kept?.rate;
  return { on: !r?.off, token: r?.token ?? '', tenant: r?.tenant ?? '' };
}

export function rateSetting(row: RateRow): Rate {
  return {
    ...(!row.on && { off: true }),
    ...(row.token !== '' && { token: Number(row.token) }),
    ...(row.tenant !== '' && { tenant: Number(row.tenant) }),
  };
}

/** How many requests a second provisioning clients may make. */
export function RateFields({ row, onChange, readOnly }: { row: RateRow; onChange: (row: RateRow) => void; readOnly: boolean }) {
  return (
    <>
      <Switch label="SCIM is told to wait when it asks too often" description="Providers try again by themselves" disabled={readOnly} checked={row.on} onChange={(e) => onChange({ ...row, on: e.currentTarget.checked })} />
      <Group grow align="flex-start">
        <NumberInput label="Requests a second of one token" description="Empty: 100" min={1} max={10000} allowDecimal={false} disabled={readOnly || !row.on} value={row.token} onChange={(token) => onChange({ ...row, token })} />
        <NumberInput label="Requests a second of all tokens" description="Empty: 200" min={1} max={10000} allowDecimal={false} disabled={readOnly || !row.on} value={row.tenant} onChange={(tenant) => onChange({ ...row, tenant })} />
      </Group>
    </>
  );
}
