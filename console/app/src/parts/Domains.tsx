import { Badge, Button, Code, Group, Modal, Select, Stack, Switch, Text, TextInput, Title } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation } from '@tanstack/react-query';
import { IconPlus } from '@tabler/icons-react';
import { useState } from 'react';
import { api, done, type Connection, type Domain } from '../client/api';
import { keys, useCan, usePages, useRefresh } from '../client/queries';
import { useConfirm } from './Confirm';
import { Facts } from './Facts';
import { More, Row, Rows } from './Rows';
import { Failure, LoadingRows } from './States';

/** The domains of addresses whose people are led to a connection. */
export function Domains({ connections }: { connections: Connection[] }) {
  const can = useCan();
  const refresh = useRefresh();
  const [adding, { open, close }] = useDisclosure(false);
  const [changed, setChanged] = useState<Domain>();
  const query = usePages(keys.domains, (cursor) => done(api.GET('/v1/domains', { params: { query: { cursor } } })));
  const remove = useConfirm<unknown>(() => 'People of the domain choose how they sign in.', () => refresh(keys.domains));
  return (
    <Stack gap="sm" mt="xl" component="section" aria-labelledby="domains">
      <Group justify="space-between">
        <div>
          <Title order={2} size="h4" id="domains">Domains</Title>
          <Text size="sm" c="dimmed">Whoever gives an address in one of these is led to its connection.</Text>
        </div>
        {can('gatehouse.connections:write') && connections.length > 0 && <Button variant="light" leftSection={<IconPlus size={16} aria-hidden />} onClick={open}>Add a domain</Button>}
      </Group>
      {remove.outcome}
      {query.isPending ? <LoadingRows rows={1} /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length > 0 && (
          <Rows label="Domains">
            {query.items.map((d) => (
              <Row key={d.name} name={<Group gap={6}><b>{d.name}</b>{d.verified ? <Badge size="xs" color="teal" variant="light">Verified</Badge> : <Badge size="xs" color="gray" variant="light">Not verified yet</Badge>}{d.required && <Badge size="xs" variant="light">Required</Badge>}</Group>}
                facts={<Facts of={[['Connection', d.connection || 'deleted'], !d.verified && ['TXT record to add', <Code>{d.record.name}</Code>], !d.verified && ['With the value', <Code>{d.record.value}</Code>]]} />}
                actions={(
                  <Group gap="xs">
                    {!d.verified && can('gatehouse.connections:write') && <Verify of={d} />}
                    {can('gatehouse.connections:write') && <Button size="xs" variant="light" aria-label={`Change ${d.name}`} onClick={() => setChanged(d)}>Change</Button>}
                    {can('gatehouse.connections:delete') && (
                      <Button size="xs" variant="light" color="red" aria-label={`Remove ${d.name}`} onClick={() => remove.ask({
                        title: `Remove ${d.name}?`, verb: 'Remove', text: 'Its people are led nowhere, and may sign in by any connection. To add it again it must be verified anew.',
                        act: () => done(api.DELETE('/v1/domains/{name}', { params: { path: { name: d.name } } })),
                      })}>Remove</Button>
                    )}
                  </Group>
                )} />
            ))}
          </Rows>
        )}
      <More query={query} />
      {remove.dialog}
      <Modal opened={adding} onClose={close} title="Add a domain" centered closeButtonProps={{ 'aria-label': 'Close' }}><DomainForm of={undefined} connections={connections} close={close} /></Modal>
      <Modal opened={changed !== undefined} onClose={() => setChanged(undefined)} title={`Change ${changed?.name ?? ''}`} centered closeButtonProps={{ 'aria-label': 'Close' }}>
        {changed && <DomainForm of={changed} connections={connections} close={() => setChanged(undefined)} />}
      </Modal>
    </Stack>
  );
}

function Verify({ of: domain }: { of: Domain }) {
  const refresh = useRefresh();
  const verify = useMutation({
    mutationFn: () => done(api.POST('/v1/domains/{name}/verify', { params: { path: { name: domain.name } } })),
    onSuccess: () => refresh(keys.domains),
  });
  return (
    <Stack gap="xs" align="flex-start">
      <Button size="xs" loading={verify.isPending} aria-label={`Verify ${domain.name}`} onClick={() => verify.mutate()}>Verify</Button>
      {verify.isError && <Failure error={verify.error} />}
    </Stack>
  );
}

function DomainForm({ of: domain, connections, close }: { of: Domain | undefined; connections: Connection[]; close: () => void }) {
  const refresh = useRefresh();
  const [name, setName] = useState(domain?.name ?? '');
  const [connection, setConnection] = useState<string | null>(domain ? domain.connection || null : connections[0]?.name ?? null);
  const [required, setRequired] = useState(domain?.required ?? false);
  const add = useMutation({
    mutationFn: () => done(api.PUT('/v1/domains/{name}', { params: { path: { name } }, body: { connection: connection ?? '', required } })),
    onSuccess: async () => { await refresh(keys.domains); close(); },
  });
  return (
    <form onSubmit={(e) => { e.preventDefault(); add.mutate(); }}>
      <Stack>
        <TextInput label="Domain" readOnly={!!domain} variant={domain && 'filled'} placeholder="example.com" required maxLength={253} value={name} onChange={(e) => setName(e.currentTarget.value)} data-autofocus />
        <Select label="Connection" required allowDeselect={false} value={connection} onChange={setConnection} data={connections.map((c) => ({ value: c.name, label: c.spec.display_name || c.name }))} />
        <Switch label="Its people must sign in this way" description="Every other connection refuses verified addresses in the domain; off by default" checked={required} onChange={(e) => setRequired(e.currentTarget.checked)} />
        {required && <Text size="sm">While this connection does not work, nobody with an address in the domain can sign in. Who is signed in stays so until their sign-in ends.</Text>}
        {add.isError && <Failure error={add.error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>Cancel</Button>
          <Button type="submit" loading={add.isPending}>{domain ? 'Save' : 'Add the domain'}</Button>
        </Group>
      </Stack>
    </form>
  );
}
