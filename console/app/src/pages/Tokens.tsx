import { Alert, Badge, Button, Code, CopyButton, Group, Modal, Select, Stack, TextInput } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation } from '@tanstack/react-query';
import { IconCopy, IconKey, IconPlus } from '@tabler/icons-react';
import { useState } from 'react';
import { api, done } from '../client/api';
import { keys, useCan, usePages, useRefresh } from '../client/queries';
import { useConfirm } from '../parts/Confirm';
import { Facts, When } from '../parts/Facts';
import { Page } from '../parts/Page';
import { Row, Rows } from '../parts/Rows';
import { Empty, Failure, LoadingRows } from '../parts/States';

const scopes: Record<string, string> = { api: 'Admin API', scim: 'SCIM' };

/** What programs use to call the admin API and to push people. */
export function Tokens() {
  const can = useCan();
  const refresh = useRefresh();
  const [adding, { open, close }] = useDisclosure(false);
  const query = usePages(keys.tokens, (cursor) => done(api.GET('/v1/tokens', { params: { query: { cursor } } })));
  const revoke = useConfirm<unknown>(() => 'The token is revoked and refused from now on.', () => refresh(keys.tokens));
  return (
    <Page title="Tokens" lead="Tokens let programs use the admin API, and let your identity provider push people over SCIM." live
      actions={can('gatehouse.tokens:write') && <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={open}>Make a token</Button>}>
      {revoke.outcome}
      {query.isPending ? <LoadingRows rows={3} /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length === 0 ? <Empty title="No tokens" icon={IconKey}>Make one for a program, or for SCIM provisioning by your identity provider.</Empty> : (
          <Rows label="Tokens">
            {query.items.map((t) => (
              <Row key={t.id} name={<Group gap={6}><b>{t.name}</b><Badge size="xs" variant="light">{scopes[t.scope] ?? t.scope}</Badge>{t.revoked_at && <Badge size="xs" color="gray">Revoked</Badge>}</Group>}
                facts={<Facts of={[
                  t.role ? ['Role', t.role] : undefined,
                  ['Made', <When at={t.created_at} />],
                  ['Last used', t.last_used_at ? <When at={t.last_used_at} /> : 'never'],
                  ['Expires', t.expires_at && <When at={t.expires_at} />],
                ]} />}
                actions={can('gatehouse.tokens:delete') && !t.revoked_at && (
                  <Button size="xs" variant="light" color="red" aria-label={`Revoke ${t.name}`} onClick={() => revoke.ask({
                    title: `Revoke ${t.name}?`, verb: 'Revoke', text: 'Programs that use it are refused at once. This cannot be undone.',
                    act: () => done(api.DELETE('/v1/tokens/{id}', { params: { path: { id: t.id } } })),
                  })}>Revoke</Button>
                )} />
            ))}
          </Rows>
        )}
      {revoke.dialog}
      <Modal opened={adding} onClose={close} title="Make a token" centered closeOnClickOutside={false} closeButtonProps={{ 'aria-label': 'Close' }}><MakeToken close={close} /></Modal>
    </Page>
  );
}

const lifetimes = [{ value: '30', label: '30 days' }, { value: '90', label: '90 days' }, { value: '365', label: 'A year' }];

function MakeToken({ close }: { close: () => void }) {
  const refresh = useRefresh();
  const [name, setName] = useState('');
  const [scope, setScope] = useState<'api' | 'scim'>('api');
  const [role, setRole] = useState<string | null>('viewer');
  const [days, setDays] = useState<string>('90');
  const roles = usePages(keys.roles, (cursor) => done(api.GET('/v1/roles', { params: { query: { cursor } } })));
  const make = useMutation({
    mutationFn: () => done(api.POST('/v1/tokens', {
      body: { name, scope, ...(scope === 'api' && role && { role }), expires_in_days: Number(days) },
    })),
    onSuccess: () => refresh(keys.tokens),
  });
  if (make.isSuccess) return <Secret secret={make.data.secret} close={close} />;
  return (
    <form onSubmit={(e) => { e.preventDefault(); make.mutate(); }}>
      <Stack>
        <TextInput label="Name" description="What it is for" required maxLength={100} value={name} onChange={(e) => setName(e.currentTarget.value)} data-autofocus />
        <Select label="For" allowDeselect={false} value={scope} onChange={(v) => setScope(v as 'api' | 'scim')} data={[{ value: 'api', label: 'The admin API' }, { value: 'scim', label: 'SCIM provisioning' }]} />
        {scope === 'api' && <Select label="Role" required value={role} onChange={setRole} data={roles.items.map((r) => r.name).filter((n) => !n.startsWith('team_'))} />}
        <Select label="Valid for" allowDeselect={false} value={days} onChange={(v) => setDays(v ?? '90')} data={lifetimes} />
        {make.isError && <Failure error={make.error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>Cancel</Button>
          <Button type="submit" loading={make.isPending} disabled={scope === 'api' && !role}>Make the token</Button>
        </Group>
      </Stack>
    </form>
  );
}

function Secret({ secret, close }: { secret: string; close: () => void }) {
  return (
    <Stack>
      <Alert color="yellow" title="Copy it now">It is shown this once and kept nowhere.</Alert>
      <Code block tabIndex={0}>{secret}</Code>
      <Group justify="flex-end" gap="xs">
        <CopyButton value={secret}>
          {({ copied, copy }) => <Button variant="light" leftSection={<IconCopy size={16} aria-hidden />} onClick={copy}>{copied ? 'Copied' : 'Copy'}</Button>}
        </CopyButton>
        <Button onClick={close}>Done</Button>
      </Group>
    </Stack>
  );
}
