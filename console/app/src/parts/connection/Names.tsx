import { Fieldset, Input, SimpleGrid, Text, TextInput } from '@mantine/core';
import type { ConnectionSpec } from '../../client/api';
import { fields, helpOf } from './fields';
import { useForm } from './form';

type Names = NonNullable<ConnectionSpec['claims']>;

// What can be named, in the order in which it is asked for.
const words: Record<keyof Names, { label: string; help: string; oauth2?: true }> = {
  subject: { label: 'Lasting id', help: 'What the provider knows somebody by for ever: no login name or address, which can change hands', oauth2: true },
  email: { label: 'Email address', help: 'Empty: email' },
  email_verified: { label: 'Whether it is verified', help: 'An address that is not verified counts for nothing; empty: email_verified', oauth2: true },
  name: { label: 'Name', help: 'Empty: name' },
  groups: { label: 'Groups', help: 'Empty: the usual names are tried' },
};

/** The claims that hold a person's data. */
export function Claims() {
  return <NamesFields of="claims" />;
}

/** The attributes that hold a person's data. */
export function Attributes() {
  return <NamesFields of="attributes" />;
}

function NamesFields({ of: key }: { of: 'claims' | 'attributes' }) {
  const { spec, set, errors } = useForm();
  const alone = spec.type === 'oauth2';
  const help = (name: keyof Names) => (key === 'attributes' ? undefined : name !== 'groups' ? words[name].help : alone ? 'Empty: none' : 'Empty: groups');
  return (
    <Fieldset legend={fields[key].label} variant="filled">
      <Text size="xs" c="dimmed" mb="xs">{helpOf(key, spec)}</Text>
      <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
        {(Object.keys(words) as (keyof Names)[]).filter((name) => alone || !words[name].oauth2).map((name) => (
          <TextInput key={name} data-path={`${key}.${name}`} label={words[name].label} description={help(name)} error={errors[`${key}.${name}`]} maxLength={200} spellCheck={false}
            required={name === 'subject' && !spec.preset} value={spec[key]?.[name] ?? ''} onChange={(e) => set({ [key]: { ...spec[key], [name]: e.currentTarget.value } })} />
        ))}
      </SimpleGrid>
      <Wrong path={key} />
    </Fieldset>
  );
}

/** What is wrong with a part as a whole. */
export function Wrong({ path }: { path: string }) {
  const { errors } = useForm();
  if (!errors[path]) return null;
  return <Input.Error mt="xs" role="alert">{errors[path]}</Input.Error>;
}
