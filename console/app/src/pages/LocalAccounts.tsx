import { Alert, Badge, Button, Code, CopyButton, Group, Modal, Select, Stack, Text, TextInput } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { IconCopy, IconLifebuoy, IconPlus } from '@tabler/icons-react';
import { useState } from 'react';
import { api, done, type LocalAccount, type LocalInvitation } from '../client/api';
import { keys, useCan, useMe, usePages, useRefresh } from '../client/queries';
import { useConfirm } from '../parts/Confirm';
import { Facts, When } from '../parts/Facts';
import { Page } from '../parts/Page';
import { Row, Rows } from '../parts/Rows';
import { Empty, Failure, LoadingRows } from '../parts/States';
import { addressOf, nameOf, signsInWith, stateOf } from '../words/localAccounts';
import { summary } from '../words/revocation';

const leads = {
  operators: 'Operators sign in by a passkey, or by a password with an app. They are invited by a link that is good once.',
  owners: 'With one of these, an owner gets in while your identity provider lets nobody in. Everybody else signs in by a connection.',
};

/** Who signs in without an identity provider. */
export function LocalAccounts() {
  const can = useCan();
  const me = useMe().data;
  const refresh = useRefresh();
  const [invites, setInvites] = useState<'new' | LocalAccount>();
  const query = usePages(keys.localAccounts, (cursor) => done(api.GET('/v1/local-accounts', { params: { query: { cursor } } })));
  const remove = useConfirm<Parameters<typeof summary>[0]>((r) => `The local account is gone. ${summary(r)}`, () => refresh(keys.localAccounts, keys.sessions));
  const close = () => setInvites(undefined);
  const may = can('gatehouse.users:write');
  return (
    <Page title="Local accounts" lead={me?.tenant.platform ? leads.operators : leads.owners} live
      actions={may && <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => setInvites('new')}>Invite somebody</Button>}>
      {remove.outcome}
      {query.isPending ? <LoadingRows rows={3} /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length === 0 ? <Empty title="No local accounts" icon={IconLifebuoy}>Invite somebody who must get in when nobody else can.</Empty> : (
          <Rows label="Local accounts">
            {query.items.map((a) => {
              const state = stateOf(a);
              return (
                <Row key={a.user_id} name={<Group gap={6}><b>{nameOf(a)}</b>{state && <Badge size="xs" variant="light" color={state.color}>{state.label}</Badge>}</Group>}
                  facts={<Facts of={[
                    ['Address', addressOf(a)],
                    ['Signs in with', signsInWith(a)],
                    a.accepted_at ? ['Since', <When at={a.accepted_at} />] : undefined,
                    a.accepted_at ? ['Last signed in', a.last_used_at ? <When at={a.last_used_at} /> : 'never'] : undefined,
                    a.invited_until ? ['Link good until', <When at={a.invited_until} />] : undefined,
                    a.invited_until ? ['Sent by', a.invited_by || 'somebody'] : undefined,
                  ]} />}
                  actions={may && a.user_id !== me?.id && (
                    <Group gap="xs">
                      {a.active && <Button size="xs" variant="light" aria-label={`Send ${nameOf(a)} a new link`} onClick={() => setInvites(a)}>New link</Button>}
                      <Button size="xs" variant="light" color="red" aria-label={`Remove the local account of ${nameOf(a)}`} onClick={() => remove.ask({
                        title: `Remove the local account of ${nameOf(a)}?`, verb: 'Remove',
                        text: 'Account and link are gone at once, and they are signed out everywhere. The person and their roles stay.',
                        act: () => done(api.DELETE('/v1/local-accounts/{id}', { params: { path: { id: a.user_id } } })),
                      })}>Remove</Button>
                    </Group>
                  )} />
              );
            })}
          </Rows>
        )}
      {remove.dialog}
      <Modal opened={invites !== undefined} onClose={close} title={invites === undefined || invites === 'new' ? 'Invite somebody' : `A new link for ${nameOf(invites)}`}
        centered closeOnClickOutside={false} closeButtonProps={{ 'aria-label': 'Close' }}>
        {invites && <Invite account={invites === 'new' ? undefined : invites} platform={me?.tenant.platform ?? false} close={close} />}
      </Modal>
    </Page>
  );
}

const lives = [{ value: '1h', label: 'An hour' }, { value: '24h', label: 'A day' }, { value: '72h', label: '3 days' }, { value: '168h', label: '7 days' }];

/** Makes a link: for somebody new, or in the place of what somebody signs in with. */
function Invite({ account, platform, close }: { account: LocalAccount | undefined; platform: boolean; close: () => void }) {
  const refresh = useRefresh();
  const [email, setEmail] = useState('');
  const [name, setName] = useState('');
  const [role, setRole] = useState<string | null>('owner');
  const [life, setLife] = useState<string>('24h');
  const roles = usePages(keys.roles, (cursor) => done(api.GET('/v1/roles', { params: { query: { cursor } } })), platform && !account);
  const make = useMutation({
    mutationFn: () => done(api.POST('/v1/local-accounts', {
      body: account ? { email: addressOf(account), expires_in: life }
        : { email, ...(name && { display_name: name }), ...(platform && role && { role }), expires_in: life },
    })),
    onSuccess: () => refresh(keys.localAccounts, keys.users),
  });
  if (make.isSuccess) return <Link made={make.data} close={close} />;
  return (
    <form onSubmit={(e) => { e.preventDefault(); make.mutate(); }}>
      <Stack>
        {account ? <Text size="sm">Once they use the link, it replaces all that they sign in with, their second factors included, and signs them out everywhere. Until then nothing changes.</Text> : (
          <>
            <TextInput label="Email address" type="email" required maxLength={320} value={email} onChange={(e) => setEmail(e.currentTarget.value)} data-autofocus />
            <TextInput label="Name" description="Of a person who is not here yet" maxLength={200} value={name} onChange={(e) => setName(e.currentTarget.value)} />
            {platform ? <Select label="Role" required allowDeselect={false} value={role} onChange={setRole} data={roles.items.length > 0 ? roles.items.map((r) => r.name).filter((n) => !n.startsWith('team_')) : ['owner']} />
              : <Text size="sm">They become an owner of the organisation at once.</Text>}
          </>
        )}
        <Select label="The link is good for" allowDeselect={false} value={life} onChange={(v) => setLife(v ?? '24h')} data={lives} />
        {make.isError && <Failure error={make.error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>Cancel</Button>
          <Button type="submit" loading={make.isPending}>Make the link</Button>
        </Group>
      </Stack>
    </form>
  );
}

function Link({ made, close }: { made: LocalInvitation; close: () => void }) {
  const address = made.url || window.location.origin + made.path;
  return (
    <Stack>
      <Alert color="yellow" title="Copy it now">It is shown this once, and good once until <When at={made.expires_at} />. Whoever has it becomes that person: send it in a way that only they read.</Alert>
      <Code block tabIndex={0} data-testid="invitation">{address}</Code>
      <Group justify="flex-end" gap="xs">
        <CopyButton value={address}>
          {({ copied, copy }) => <Button variant="light" leftSection={<IconCopy size={16} aria-hidden />} onClick={copy}>{copied ? 'Copied' : 'Copy'}</Button>}
        </CopyButton>
        <Button onClick={close}>Done</Button>
      </Group>
    </Stack>
  );
}
