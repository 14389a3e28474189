import { Group, NumberInput, Switch } from '@mantine/core';
import type { Settings } from '../client/api';
import { hours, minutes } from '../words/time';

type Brake = NonNullable<NonNullable<Settings['scim']>['brake']>;

/** The brake as it is typed; empty: by default. */
export interface BrakeRow {
  on: boolean;
  share: number | string;
  window: number | string;
  least: number | string;
}

export function brakeRow(kept: Settings['scim']): BrakeRow {
  const b = kept?.brake;
  return { on: !b?.off, share: b?.share ?? '', window: hours(b?.window) ?? '', least: b?.least ?? '' };
}

/** The setting; a window that nobody has typed anew stays as it is, to the second. */
export function brakeSetting(row: BrakeRow, kept: Settings['scim']): Brake {
  const window = kept?.brake?.window;
  return {
    ...(!row.on && { off: true }),
    ...(row.share !== '' && { share: Number(row.share) }),
    ...(row.window !== '' && { window: window && hours(window) === Number(row.window) ? window : minutes(Number(row.window)) }),
    ...(row.least !== '' && { least: Number(row.least) }),
  };
}

/** How many people a provisioning client may take out before somebody has to look. */
export function BrakeFields({ row, onChange, readOnly }: { row: BrakeRow; onChange: (row: BrakeRow) => void; readOnly: boolean }) {
  return (
    <>
      <Switch label="SCIM is held back when it takes out too many people" description="Until somebody lets them go, or keeps them, under Users" disabled={readOnly} checked={row.on} onChange={(e) => onChange({ ...row, on: e.currentTarget.checked })} />
      <Group grow align="flex-start">
        <NumberInput label="Too many are more than" description="Percent of the active people; empty: 20" min={1} max={100} allowDecimal={false} suffix=" %" disabled={readOnly || !row.on} value={row.share} onChange={(share) => onChange({ ...row, share })} />
        <NumberInput label="Within" description="Hours; empty: 1" min={0.02} max={168} decimalScale={2} suffix=" h" disabled={readOnly || !row.on} value={row.window} onChange={(window) => onChange({ ...row, window })} />
        <NumberInput label="But never fewer than" description="People; empty: 10" min={1} max={1000000} allowDecimal={false} disabled={readOnly || !row.on} value={row.least} onChange={(least) => onChange({ ...row, least })} />
      </Group>
    </>
  );
}
