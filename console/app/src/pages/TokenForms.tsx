import { Button, Code, Group, Modal, MultiSelect, Select, Stack, Text, TextInput } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { api, done, type Token } from '../client/api';
import { keys, usePages, useRefresh } from '../client/queries';
import { Secret } from '../parts/Secret';
import { Failure } from '../parts/States';
import { accessWords } from '../words/tokens';

const lifetimes = [{ value: '30', label: '30 days' }, { value: '90', label: '90 days' }, { value: '365', label: 'A year' }];
const overlaps = [{ value: '1h', label: 'An hour' }, { value: '24h', label: 'A day' }, { value: '72h', label: '3 days' }, { value: '168h', label: '7 days' }];

type Kind = 'api' | 'scim' | 'client';
type Access = (typeof accessWords)[number]['value'][];

export function MakeToken({ opened, close }: { opened: boolean; close: () => void }) {
  return (
    <Modal opened={opened} onClose={close} title="Make a token" centered closeOnClickOutside={false} closeButtonProps={{ 'aria-label': 'Close' }}>
      <Form close={close} />
    </Modal>
  );
}

function Form({ close }: { close: () => void }) {
  const refresh = useRefresh();
  const [name, setName] = useState('');
  const [kind, setKind] = useState<Kind>('api');
  const [role, setRole] = useState<string | null>('viewer');
  const [connection, setConnection] = useState<string | null>(null);
  const [access, setAccess] = useState<Access>([]);
  const [days, setDays] = useState<string>('90');
  const roles = usePages(keys.roles, (cursor) => done(api.GET('/v1/roles', { params: { query: { cursor } } })));
  const connections = usePages(keys.connections, (cursor) => done(api.GET('/v1/connections', { params: { query: { cursor } } })));
  const make = useMutation({
    mutationFn: () => done(api.POST('/v1/tokens', {
      body: {
        name, expires_in_days: Number(days), scope: kind === 'api' ? 'api' : 'scim', kind: kind === 'client' ? 'client' : 'token',
        ...(kind === 'api' ? role && { role } : { ...(connection && { connection }), ...(access.length > 0 && { access }) }),
      },
    })),
    onSuccess: () => refresh(keys.tokens),
  });
  if (make.isSuccess) return <Made token={make.data} close={close} />;
  return (
    <form onSubmit={(e) => { e.preventDefault(); make.mutate(); }}>
      <Stack>
        <TextInput label="Name" description="What it is for" required maxLength={100} value={name} onChange={(e) => setName(e.currentTarget.value)} data-autofocus />
        <Select label="For" allowDeselect={false} value={kind} onChange={(v) => setKind(v as Kind)}
          data={[{ value: 'api', label: 'The admin API' }, { value: 'scim', label: 'SCIM provisioning' }, { value: 'client', label: 'SCIM provisioning, as an OAuth client' }]} />
        {kind === 'api' ? (
          <>
            <Select label="Role" required value={role} onChange={setRole} data={roles.items.map((r) => r.name).filter((n) => !n.startsWith('team_'))} />
            <Text size="sm">It ends when you are deactivated, unless somebody else takes it over before.</Text>
          </>
        ) : (
          <>
            <Select label="Connection" description="It is good while this is enabled, and ends with it" placeholder="Any" clearable clearButtonProps={{ 'aria-label': 'Any connection' }} value={connection} onChange={setConnection}
              data={connections.items.filter((c) => c.spec.type !== 'local').map((c) => c.name)} />
            <MultiSelect label="May do" description="Nothing chosen: everything" clearable clearButtonProps={{ 'aria-label': 'Everything' }} value={access} onChange={(v) => setAccess(v as Access)} data={accessWords} />
          </>
        )}
        <Select label="Valid for" allowDeselect={false} value={days} onChange={(v) => setDays(v ?? '90')} data={lifetimes} />
        {make.isError && <Failure error={make.error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>Cancel</Button>
          <Button type="submit" loading={make.isPending} disabled={kind === 'api' && !role}>Make the token</Button>
        </Group>
      </Stack>
    </form>
  );
}

export function RotateToken({ token, close }: { token: Token | undefined; close: () => void }) {
  return (
    <Modal opened={token !== undefined} onClose={close} title={`Rotate ${token?.name ?? ''}`} centered closeOnClickOutside={false} closeButtonProps={{ 'aria-label': 'Close' }}>
      {token && <Rotation token={token} close={close} />}
    </Modal>
  );
}

function Rotation({ token, close }: { token: Token; close: () => void }) {
  const refresh = useRefresh();
  const [overlap, setOverlap] = useState('24h');
  const [days, setDays] = useState('90');
  const rotate = useMutation({
    mutationFn: () => done(api.POST('/v1/tokens/{id}/rotate', { params: { path: { id: token.id } }, body: { overlap, expires_in_days: Number(days) } })),
    onSuccess: () => refresh(keys.tokens),
  });
  if (rotate.isSuccess) return <Made token={rotate.data} close={close} />;
  return (
    <form onSubmit={(e) => { e.preventDefault(); rotate.mutate(); }}>
      <Stack>
        <Text size="sm">You get a new secret for the same connection and the same access. Give it to the provider: until the overlap is over, the old one is good as well. Under Last used you see when the provider has moved; then revoke the old one.</Text>
        <Select label="Overlap" description="How long the old one stays good, but no longer than it was to" allowDeselect={false} value={overlap} onChange={(v) => setOverlap(v ?? '24h')} data={overlaps} data-autofocus />
        <Select label="The new one is valid for" allowDeselect={false} value={days} onChange={(v) => setDays(v ?? '90')} data={lifetimes} />
        {rotate.isError && <Failure error={rotate.error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>Cancel</Button>
          <Button type="submit" loading={rotate.isPending}>Rotate</Button>
        </Group>
      </Stack>
    </form>
  );
}

function Made({ token, close }: { token: Token & { secret: string }; close: () => void }) {
  return (
    <Secret secret={token.secret} close={close}>
      {token.scope === 'scim' && (
        <>
          Base URL <Code>{`${window.location.origin}/scim/v2`}</Code>
          {token.client_id && <>, client id <Code>{token.client_id}</Code>, token endpoint <Code>{`${window.location.origin}/.gatehouse/oauth/token`}</Code></>}.
          {token.client_id ? ' The client secret is:' : ' The token is:'}
        </>
      )}
    </Secret>
  );
}
