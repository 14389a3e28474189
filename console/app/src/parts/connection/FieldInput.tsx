import { Alert, Checkbox, NativeSelect, NumberInput, PasswordInput, Select, Stack, Switch, TagsInput, TextInput, Text as Words } from '@mantine/core';
import { IconAlertTriangle } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { api, done } from '../../client/api';
import { keys, usePages } from '../../client/queries';
import { fields, helpOf, type Key, type OwnKey, type Text } from './fields';
import { useForm } from './form';
import { GroupRules } from './GroupRules';
import { GroupSources } from './GroupSources';
import { Metadata } from './Metadata';
import { Attributes, Claims } from './Names';
import { Signals } from './Signals';

const own: Record<OwnKey, () => ReactNode> = {
  idp_metadata: Metadata, attributes: Attributes, claims: Claims, group_rules: GroupRules, groups_from: GroupSources, signals: Signals,
};

/** One field of a connection, with what is wrong with it and what its value gives up. */
export function FieldInput({ of: key }: { of: Key }) {
  const { spec } = useForm();
  const risk = fields[key].risks?.[String(spec[key])];
  return (
    <Stack gap={6} data-path={key}>
      <Control of={key} />
      {risk && <Alert color="yellow" variant="light" p="xs" icon={<IconAlertTriangle aria-hidden />}><Words size="sm">{risk}</Words></Alert>}
    </Stack>
  );
}

function Control({ of: key }: { of: Key }) {
  const { spec, set, errors, provider } = useForm();
  const field = fields[key];
  const change = (value: unknown) => set({ [key]: value });
  const common = { label: field.label, description: helpOf(key, spec), error: errors[key] };
  switch (field.as) {
    case 'own': {
      const Part = own[key as OwnKey];
      return <Part />;
    }
    case 'flag': {
      const now = (spec[key] as boolean | undefined) ?? field.unset;
      return <Switch {...common} checked={now} onChange={(e) => change(e.currentTarget.checked === field.unset ? undefined : e.currentTarget.checked)} />;
    }
    case 'choice': {
      const options = Object.entries(field.options).filter(([value]) => value !== field.lacks?.[spec.type]);
      return <NativeSelect {...common} value={(spec[key] as string | undefined) ?? ''} onChange={(e) => change(e.currentTarget.value)} data={options.map(([value, label]) => ({ value, label }))} />;
    }
    case 'checks': {
      const now = (spec[key] as string[] | undefined) ?? [];
      return (
        <Checkbox.Group {...common} value={now} onChange={change}>
          <Stack gap={6} mt={6}>{Object.entries(field.options).map(([value, label]) => <Checkbox key={value} value={value} label={label} />)}</Stack>
        </Checkbox.Group>
      );
    }
    case 'words':
      return (
        <TagsInput {...common} value={(spec[key] as string[] | undefined) ?? []} onChange={(tags) => change(field.commas ? [...new Set(tags.flatMap((tag) => tag.split(/[,\s]+/)).filter(Boolean))] : tags)} maxTags={field.most} splitChars={field.commas ? [',', ' '] : []}
          withAsterisk={key === bounded(provider?.public) && !spec.anybody} clearable clearButtonProps={{ 'aria-label': `Remove all: ${field.label}` }} />
      );
    case 'amount':
      return (
        <NumberInput {...common} min={field.least} max={field.most} clampBehavior="none" allowDecimal={false} suffix={` ${field.unit}`} value={(spec[key] as number | undefined) ?? ''}
          onChange={(v) => change(typeof v === 'number' ? v : undefined)} />
      );
    case 'role':
      return <Role {...common} value={(spec[key] as string | undefined) ?? ''} change={change} />;
    case 'secret':
      return <Secret {...common} longest={field.longest} value={(spec[key] as string | undefined) ?? ''} change={change} />;
    default:
      return <Line {...common} field={field} value={(spec[key] as string | undefined) ?? ''} change={change} />;
  }
}

/** Which field must bound who comes in by a provider at which anybody can have an account. */
export function bounded(at: 'domains' | 'groups' | undefined): 'allowed_domains' | 'allowed_groups' | undefined {
  return at && (at === 'domains' ? 'allowed_domains' : 'allowed_groups');
}

interface Part { label: string; description: ReactNode; error: string | undefined; value: string; change: (value: string) => void }

function Line({ field, value, change, ...common }: Part & { field: Text }) {
  const { spec, provider } = useForm();
  const form = field.as === 'url' ? { type: 'url' } : field.as === 'duration' ? { pattern: '(\\d+(\\.\\d+)?(h|m|s))+' } : {};
  return (
    <TextInput {...common} {...form} required={field.needed?.(spec)} maxLength={field.longest} placeholder={field.example?.(provider)} autoComplete="off" spellCheck={false}
      value={value} onChange={(e) => change(e.currentTarget.value)} />
  );
}

/** A secret is never shown again, and stays where none is entered. */
function Secret({ longest, value, change, ...common }: Part & { longest: number }) {
  const { connection } = useForm();
  return (
    <PasswordInput {...common} description={connection?.has_client_secret ? 'Never shown again; empty: the one that there is stays' : common.description} autoComplete="off" maxLength={longest}
      value={value} onChange={(e) => change(e.currentTarget.value)} visibilityToggleButtonProps={{ 'aria-label': 'Show it' }} />
  );
}

/** A role that holds everywhere in the account. */
function Role({ value, change, ...common }: Part) {
  const roles = usePages(keys.roles, (cursor) => done(api.GET('/v1/roles', { params: { query: { cursor, limit: 200 } } })));
  const names = roles.items.map((r) => r.name).filter((n) => !n.startsWith('team_'));
  return (
    <Select {...common} searchable clearable clearButtonProps={{ 'aria-label': 'No role' }} placeholder="Nobody in particular" value={value || null} onChange={(v) => change(v ?? '')}
      data={value && !names.includes(value) ? [value, ...names] : names} />
  );
}
