import { ActionIcon, Button, Checkbox, Fieldset, Group, Select, Stack, TagsInput, Text, TextInput } from '@mantine/core';
import { IconPlus, IconTrash } from '@tabler/icons-react';
import type { Settings } from '../client/api';

export type Schema = NonNullable<NonNullable<Settings['scim']>['schemas']>[number];
export type Attribute = Schema['attributes'][number];
export type Part = NonNullable<Attribute['sub_attributes']>[number];

const simple: { value: Part['type']; label: string }[] = [
  { value: 'string', label: 'Text' }, { value: 'boolean', label: 'Yes or no' }, { value: 'integer', label: 'Whole number' }, { value: 'decimal', label: 'Number' },
  { value: 'dateTime', label: 'Time' }, { value: 'reference', label: 'Reference' }, { value: 'binary', label: 'Binary (base64)' },
];

/** What of an attribute means something to its type: the rest is left out, as it may have been filled in before the type was chosen. */
export function partSetting(p: Part): Part {
  return {
    name: p.name.trim(), type: p.type,
    ...(p.description?.trim() && { description: p.description.trim() }),
    ...(p.type === 'string' && p.case_exact && { case_exact: true }),
    ...(p.type === 'string' && p.canonical_values?.length && { canonical_values: p.canonical_values }),
    ...(p.type === 'reference' && p.reference_types?.length && { reference_types: p.reference_types }),
  };
}

function attributeSetting(a: Attribute): Attribute {
  const kept = a.type === 'complex' ? { ...partSetting({ ...a, type: 'boolean' }), type: a.type, sub_attributes: (a.sub_attributes ?? []).map(partSetting) } : partSetting({ ...a, type: a.type });
  return { ...kept, ...(a.multi_valued && { multi_valued: true }), ...(a.required && { required: true }), ...(a.immutable && { immutable: true }) };
}

/** The setting that was typed. */
export function schemaSetting(s: Schema): Schema {
  return {
    urn: s.urn.trim(),
    ...(s.name?.trim() && { name: s.name.trim() }),
    ...(s.description?.trim() && { description: s.description.trim() }),
    ...(s.required && { required: true }),
    attributes: s.attributes.map(attributeSetting),
  };
}

interface Edited<T> { value: T; onChange: (value: T) => void; readOnly: boolean }

/** A copy of a list with one element put in the place of another, or taken out. */
function swapped<T>(list: T[], at: number, ...by: T[]): T[] {
  return [...list.slice(0, at), ...by, ...list.slice(at + 1)];
}

/** Edits what people have in SCIM beyond the standard. */
export function SchemaFields({ value, onChange, readOnly }: Edited<Schema[]>) {
  return (
    <Fieldset legend="Attributes of people by SCIM" miw={0} px={{ base: 'xs', sm: 'md' }}>
      <Stack gap="sm">
        <Text size="sm" c="dimmed">Schemas of your own, beside those of the standard. Values of an attribute that is taken out or changed are answered no more.</Text>
        {value.map((s, i) => (
          <SchemaRow key={i} value={s} readOnly={readOnly} onChange={(next) => onChange(swapped(value, i, next))} onRemove={() => onChange(swapped(value, i))} />
        ))}
        {!readOnly && value.length < 10 && (
          <Add label="Add a schema" onClick={() => onChange([...value, { urn: '', attributes: [{ name: '', type: 'string' }] }])} />
        )}
      </Stack>
    </Fieldset>
  );
}

function SchemaRow({ value: s, onChange, onRemove, readOnly }: Edited<Schema> & { onRemove: () => void }) {
  const name = s.name || s.urn || 'the new schema';
  return (
    <Fieldset legend={name} p="xs" miw={0} style={{ overflowWrap: 'anywhere' }}>
      <Stack gap="sm">
        <TextInput label="URN" description="Letters, digits and dots between colons, such as urn:ietf:params:scim:schemas:extension:Acme:2.0:User" maxLength={200} required value={s.urn} onChange={(e) => onChange({ ...s, urn: e.currentTarget.value })} />
        <TextInput label="Name of the schema" maxLength={100} value={s.name ?? ''} onChange={(e) => onChange({ ...s, name: e.currentTarget.value })} />
        <Checkbox label="Whoever is made or replaced must have something of it" checked={s.required ?? false} onChange={(e) => onChange({ ...s, required: e.currentTarget.checked })} />
        {s.attributes.map((a, i) => (
          <AttributeRow key={i} value={a} readOnly={readOnly} onChange={(next) => onChange({ ...s, attributes: swapped(s.attributes, i, next) })} onRemove={() => onChange({ ...s, attributes: swapped(s.attributes, i) })} />
        ))}
        {!readOnly && (
          <Group gap="xs">
            <Add label="Add an attribute" onClick={() => onChange({ ...s, attributes: [...s.attributes, { name: '', type: 'string' }] })} />
            <Remove label={`Remove ${name}`} onClick={onRemove} />
          </Group>
        )}
      </Stack>
    </Fieldset>
  );
}

function AttributeRow({ value: a, onChange, onRemove, readOnly }: Edited<Attribute> & { onRemove: () => void }) {
  const parts = a.sub_attributes ?? [];
  const flag = (label: string, key: 'multi_valued' | 'required' | 'immutable') => (
    <Checkbox label={label} checked={a[key] ?? false} onChange={(e) => onChange({ ...a, [key]: e.currentTarget.checked })} />
  );
  return (
    <Fieldset legend={a.name || 'New attribute'} p="xs" miw={0}>
      <Stack gap="xs">
        <Named label="Attribute" value={a} readOnly={readOnly} onRemove={onRemove} types={[...simple, { value: 'complex', label: 'Several parts' }]}
          onChange={(next) => onChange(next.type === 'complex' && parts.length === 0 ? { ...next, sub_attributes: [{ name: '', type: 'string' }] } : next)} />
        <Group gap="md">{flag('A list', 'multi_valued')}{flag('Required', 'required')}{flag('Never changes', 'immutable')}</Group>
        <Details value={a} readOnly={readOnly} onChange={onChange} />
        {a.type === 'complex' && (
          <>
            {parts.map((p, i) => (
              <Fieldset key={i} legend={`${a.name}.${p.name || 'new part'}`} p="xs" miw={0}>
                <Stack gap="xs">
                  <Named label="Part" value={p} readOnly={readOnly} types={simple} onChange={(next) => onChange({ ...a, sub_attributes: swapped(parts, i, next) })} onRemove={() => onChange({ ...a, sub_attributes: swapped(parts, i) })} />
                  <Details value={p} readOnly={readOnly} onChange={(next) => onChange({ ...a, sub_attributes: swapped(parts, i, next) })} />
                </Stack>
              </Fieldset>
            ))}
            {!readOnly && parts.length < 20 && <Add label="Add a part" onClick={() => onChange({ ...a, sub_attributes: [...parts, { name: '', type: 'string' }] })} />}
          </>
        )}
      </Stack>
    </Fieldset>
  );
}

/** The name and the type, of an attribute or of a part of one. */
function Named<T extends Attribute | Part>({ label, value, onChange, onRemove, readOnly, types }: Edited<T> & { label: string; onRemove: () => void; types: { value: T['type']; label: string }[] }) {
  return (
    <Group gap="xs" align="flex-end">
      <TextInput label={label} flex="1 1 9rem" miw={0} maxLength={64} required value={value.name} onChange={(e) => onChange({ ...value, name: e.currentTarget.value })} />
      <Select label="Type" flex="1 1 8rem" miw={0} allowDeselect={false} disabled={readOnly} value={value.type} data={types} onChange={(type) => onChange({ ...value, type: type as T['type'] })} />
      {!readOnly && <Remove label={`Remove ${value.name || 'the new one'}`} onClick={onRemove} />}
    </Group>
  );
}

/** What only some types have. */
function Details<T extends Attribute | Part>({ value, onChange, readOnly }: Edited<T>) {
  return (
    <>
      <TextInput label="Description" maxLength={500} value={value.description ?? ''} onChange={(e) => onChange({ ...value, description: e.currentTarget.value })} />
      {value.type === 'string' && (
        <>
          <TagsInput label="Values that it can have" placeholder={value.canonical_values?.length ? undefined : 'Any'} maxTags={100} disabled={readOnly} value={value.canonical_values ?? []} onChange={(canonical_values) => onChange({ ...value, canonical_values })} />
          <Checkbox label="Letter case matters" checked={value.case_exact ?? false} onChange={(e) => onChange({ ...value, case_exact: e.currentTarget.checked })} />
        </>
      )}
      {value.type === 'reference' && (
        <TagsInput label="To what it refers" placeholder={value.reference_types?.length ? undefined : 'external'} data={['User', 'Group', 'external', 'uri']} maxTags={10} disabled={readOnly} value={value.reference_types ?? []} onChange={(reference_types) => onChange({ ...value, reference_types })} />
      )}
    </>
  );
}

function Add({ label, onClick }: { label: string; onClick: () => void }) {
  return <Group><Button variant="light" size="xs" leftSection={<IconPlus size={14} aria-hidden />} onClick={onClick}>{label}</Button></Group>;
}

function Remove({ label, onClick }: { label: string; onClick: () => void }) {
  return <ActionIcon variant="subtle" color="red" size="lg" aria-label={label} onClick={onClick}><IconTrash size={18} aria-hidden /></ActionIcon>;
}
