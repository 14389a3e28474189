import { Alert, Button, Code, CopyButton, Group, Modal, NativeSelect, NumberInput, Select, Stack, Switch, Text, TextInput, Title } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { IconCopy } from '@tabler/icons-react';
import { useState } from 'react';
import { api, done, type ConnectionSpec } from '../client/api';
import { keys, useCan, usePages, useRefresh } from '../client/queries';
import { useConfirm } from './Confirm';
import { fields, helpOf } from './connection/fields';
import { Facts, When } from './Facts';
import { Row, Rows } from './Rows';
import { Failure } from './States';

/** The links by which organisations connect their identity provider themselves. */
export function SetupLinks() {
  const can = useCan();
  const refresh = useRefresh();
  const query = usePages(keys.setupLinks, (cursor) => done(api.GET('/v1/setup-links', { params: { query: { cursor } } })));
  const remove = useConfirm<unknown>(() => 'The link leads nowhere any more.', () => refresh(keys.setupLinks));
  if (query.items.length === 0 && !query.isError) return <>{remove.outcome}</>;
  return (
    <Stack gap="sm" mt="xl" component="section" aria-labelledby="links">
      <Title order={2} size="h4" id="links">Set-up links</Title>
      {remove.outcome}
      {query.isError ? <Failure error={query.error} retry={() => void query.refetch()} /> : (
        <Rows label="Set-up links">
          {query.items.map((l) => (
            <Row key={l.id} name={<b>{l.connection}</b>}
              facts={<Facts of={[['Made by', l.created_by || 'somebody'], ['Good until', <When at={l.expires_at} />], ['Begun', l.begun_at ? <When at={l.begun_at} /> : 'not yet']]} />}
              actions={can('gatehouse.connections:delete') && (
                <Button size="xs" variant="light" color="red" aria-label={`Take the link for ${l.connection} back`} onClick={() => remove.ask({
                  title: `Take the link for ${l.connection} back?`, verb: 'Take it back', text: 'Whoever has it cannot go on with the set-up. What they have entered stays, switched off.',
                  act: () => done(api.DELETE('/v1/setup-links/{id}', { params: { path: { id: l.id } } })),
                })}>Take back</Button>
              )} />
          ))}
        </Rows>
      )}
      {remove.dialog}
    </Stack>
  );
}

type LinkRule = NonNullable<ConnectionSpec['link']>;

/** The dialog in which an admin makes a link. */
export function MakeSetupLink({ opened, close }: { opened: boolean; close: () => void }) {
  return (
    <Modal opened={opened} onClose={close} title="Send a set-up link" centered closeOnClickOutside={false} closeButtonProps={{ 'aria-label': 'Close' }}>
      {opened && <Form close={close} />}
    </Modal>
  );
}

function Form({ close }: { close: () => void }) {
  const refresh = useRefresh();
  const [name, setName] = useState('');
  const [role, setRole] = useState<string | null>(null);
  const [refuse, setRefuse] = useState(false);
  const [title, setTitle] = useState('');
  const [link, setLink] = useState<LinkRule>('');
  const [days, setDays] = useState<number | string>('');
  const roles = usePages(keys.roles, (cursor) => done(api.GET('/v1/roles', { params: { query: { cursor } } })));
  const make = useMutation({
    mutationFn: () => done(api.POST('/v1/setup-links', { body: { connection: name, ...(role && { default_role: role }), ...(refuse && { unknown_people: 'refuse' as const }),
      ...(title && { display_name: title }), ...(link && { link }), ...(days !== '' && { expires_in_days: Number(days) }) } })),
    onSuccess: () => refresh(keys.setupLinks),
  });
  if (make.isSuccess) {
    const address = make.data.url || window.location.origin + make.data.path;
    return (
      <Stack>
        <Alert color="yellow" title="Copy it now">It is shown this once, and good in one browser until <When at={make.data.expires_at} />. Send it to whoever runs the identity provider.</Alert>
        <Code block tabIndex={0}>{address}</Code>
        <Group justify="flex-end" gap="xs">
          <CopyButton value={address}>
            {({ copied, copy }) => <Button variant="light" leftSection={<IconCopy size={16} aria-hidden />} onClick={copy}>{copied ? 'Copied' : 'Copy'}</Button>}
          </CopyButton>
          <Button onClick={close}>Done</Button>
        </Group>
      </Stack>
    );
  }
  return (
    <form onSubmit={(e) => { e.preventDefault(); make.mutate(); }}>
      <Stack>
        <Text size="sm">Whoever has the link connects the identity provider step by step, without an account here. Nobody can sign in by it before it was tried.</Text>
        <TextInput label="Name of the connection" description="Stands in addresses: lower-case letters, digits and hyphens" required maxLength={63} pattern="[a-z0-9]([a-z0-9\-]*[a-z0-9])?" value={name} onChange={(e) => setName(e.currentTarget.value)} data-autofocus />
        <TextInput label={fields.display_name.label} description={helpOf('display_name', { type: 'oidc' })} maxLength={200} value={title} onChange={(e) => setTitle(e.currentTarget.value)} />
        <Select label="New people become" clearable placeholder="nobody in particular" value={role} onChange={setRole} data={roles.items.map((r) => r.name).filter((n) => !n.startsWith('team_'))} />
        <Switch label="Only people whom SCIM or an admin has made" checked={refuse} onChange={(e) => setRefuse(e.currentTarget.checked)} />
        <NativeSelect label={fields.link.label} description={helpOf('link', { type: 'oidc' })} value={link} onChange={(e) => setLink(e.currentTarget.value as LinkRule)} data={Object.entries(fields.link.options).map(([value, label]) => ({ value, label }))} />
        {fields.link.risks?.[link] && <Alert color="yellow" variant="light" p="xs"><Text size="sm">{fields.link.risks[link]}</Text></Alert>}
        <NumberInput label="Good for" description="Days, at most 30; empty: 7" min={1} max={30} allowDecimal={false} value={days} onChange={setDays} />
        {make.isError && <Failure error={make.error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>Cancel</Button>
          <Button type="submit" loading={make.isPending}>Make the link</Button>
        </Group>
      </Stack>
    </form>
  );
}
