import { Accordion, Badge, Group, Stack, Text, Title } from '@mantine/core';
import { FieldInput } from './FieldInput';
import { keysAt, themes, type Theme } from './fields';
import { useForm } from './form';
import { Pin } from './Metadata';
import { countSet } from './spec';

/** The less common fields, by themes; what is set says so while it is closed. */
export function Advanced({ open, change }: { open: Theme[]; change: (open: Theme[]) => void }) {
  const { spec } = useForm();
  const shown = (Object.keys(themes) as Theme[]).filter((theme) => keysAt(theme, spec).length > 0);
  return (
    <Stack gap="xs">
      <Title order={3} size="h5">Advanced</Title>
      <Text size="sm" c="dimmed">Nothing here must be set: each says what holds without it.</Text>
      <Accordion multiple variant="separated" order={4} transitionDuration={0} keepMountedMode="display-none" value={open} onChange={(v) => change(v as Theme[])}>
        {shown.map((theme) => <One key={theme} theme={theme} />)}
      </Accordion>
    </Stack>
  );
}

function One({ theme }: { theme: Theme }) {
  const { spec } = useForm();
  const keys = keysAt(theme, spec);
  const pinned = theme === 'signing' && spec.type === 'saml';
  const set = countSet(keys, spec) + (pinned && spec.idp_metadata?.fingerprint ? 1 : 0);
  return (
    <Accordion.Item value={theme}>
      <Accordion.Control>
        <Group gap="xs">{themes[theme].title}{set > 0 && <Badge size="sm" variant="light" color={theme === 'exceptions' ? 'red' : undefined}>{set} set</Badge>}</Group>
      </Accordion.Control>
      <Accordion.Panel>
        <Stack gap="md">
          <Text size="sm" c="dimmed">{themes[theme].lead}</Text>
          {keys.map((key) => <FieldInput key={key} of={key} />)}
          {pinned && <Pin />}
        </Stack>
      </Accordion.Panel>
    </Accordion.Item>
  );
}
