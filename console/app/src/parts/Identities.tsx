import { Button, Code, Group, Modal, Select, Stack, Text, TextInput, Title } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { api, done, type PersonIdentity, type Revocation, type User } from '../client/api';
import { keys, useCan, usePages, useRefresh } from '../client/queries';
import { refusedSignIns, unlinking, visible, type Refused } from '../words/identities';
import { summary } from '../words/revocation';
import { useConfirm } from './Confirm';
import { When } from './Facts';
import { Row, Rows } from './Rows';
import { Empty, Failure, LoadingRows } from './States';

const anywhere = { overflowWrap: 'anywhere' } as const;

/** What somebody signs in by at identity providers. */
export function IdentitiesOf({ user: u, name }: { user: User; name: string }) {
  const may = useCan()('gatehouse.users:write');
  const refresh = useRefresh();
  const [links, setLinks] = useState(false);
  const query = useQuery({ queryKey: [...keys.identities, u.id], queryFn: () => done(api.GET('/v1/users/{id}/identities', { params: { path: { id: u.id } } })) });
  const unlink = useConfirm<Revocation>((r) => `The sign-in is unlinked. ${summary(r)}`, () => refresh(keys.identities, keys.users, keys.sessions, keys.events));
  const ask = (i: PersonIdentity, count: number) => unlink.ask({
    title: `Unlink the sign-in at ${i.connection ?? 'a deleted connection'} from ${name}?`,
    verb: 'Unlink',
    text: unlinking(name, count),
    act: () => done(api.DELETE('/v1/users/{id}/identities', { params: { path: { id: u.id }, query: { connection: i.connection_id, subject: i.subject } } })),
  });
  const close = () => setLinks(false);
  return (
    <Stack gap="sm">
      <Group justify="space-between">
        <Title order={2} fz="lg">Signs in by</Title>
        {may && <Button size="xs" variant="light" onClick={() => setLinks(true)}>Link a sign-in</Button>}
      </Group>
      {unlink.outcome}
      {query.isPending ? <LoadingRows rows={1} /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.data.items.length === 0 ? <Empty title="No identity provider">Nothing of a provider is linked to this person yet.</Empty> : (
          <Rows label="What this person signs in by">
            {query.data.items.map((i) => (
              <Row key={`${i.connection_id} ${i.subject}`} name={<b>{i.connection ?? 'A deleted connection'}</b>}
                facts={(
                  <Text size="sm">
                    <Code style={anywhere}><bdi>{visible(i.subject)}</bdi></Code>{' '}
                    linked <When at={i.linked_at} />, {i.last_seen_at ? <>last used <When at={i.last_seen_at} /></> : 'never used'}
                  </Text>
                )}
                actions={may && (
                  <Button size="xs" variant="light" color="red" aria-label={`Unlink ${i.subject} at ${i.connection ?? 'a deleted connection'}`}
                    onClick={() => ask(i, query.data.items.filter((o) => o.connection).length)}>Unlink</Button>
                )} />
            ))}
          </Rows>
        )}
      {unlink.dialog}
      <Modal opened={links} onClose={close} title={`Link a sign-in to ${name}`} centered size="lg" closeButtonProps={{ 'aria-label': 'Close' }}>
        {links && <LinkForm user={u} name={name} close={close} />}
      </Modal>
    </Stack>
  );
}

/** Names an identity: by a sign-in that was refused, or by hand. */
function LinkForm({ user: u, name, close }: { user: User; name: string; close: () => void }) {
  const can = useCan();
  const refresh = useRefresh();
  const [connection, setConnection] = useState('');
  const [subject, setSubject] = useState('');
  const mayRead = can('gatehouse.connections:read');
  const connections = usePages(keys.connections, (cursor) => done(api.GET('/v1/connections', { params: { query: { cursor } } })), mayRead);
  const link = useMutation({
    mutationFn: () => done(api.POST('/v1/users/{id}/identities', { params: { path: { id: u.id } }, body: { connection, subject } })),
    onSuccess: async () => {
      close();
      await refresh(keys.identities, keys.events);
    },
  });
  const take = (r: Refused) => {
    setConnection(r.connection);
    setSubject(r.subject);
  };
  const choices = connections.items.filter((c) => c.spec.type !== 'local').map((c) => ({ value: c.id, label: c.spec.display_name ? `${c.spec.display_name} (${c.name})` : c.name }));
  return (
    <form onSubmit={(e) => { e.preventDefault(); link.mutate(); }}>
      <Stack>
        <Text size="sm">Whoever the provider knows by this subject signs in as {name} from then on, with all that they may do. Make sure that it is them.</Text>
        {can('gatehouse.audit:read') && <RefusedSignIns user={u} name={name} take={take} taken={(r) => r.connection === connection && r.subject === subject} />}
        {mayRead
          ? <Select label="Connection" required value={connection || null} onChange={(v) => setConnection(v ?? '')} data={choices} />
          : <TextInput label="Connection" description="Its name" required maxLength={64} value={connection} onChange={(e) => setConnection(e.currentTarget.value)} />}
        <TextInput label="Subject" description="The provider's own name for the person, to the letter: sub, or NameID. A test of the connection shows it" required maxLength={1024}
          value={subject} onChange={(e) => setSubject(e.currentTarget.value)} />
        {link.isError && <Failure error={link.error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>Cancel</Button>
          <Button type="submit" loading={link.isPending}>Link</Button>
        </Group>
      </Stack>
    </form>
  );
}

/** How many refused sign-ins are looked through, how many of them are shown, and what the log can be searched for. */
const looked = 200, shown = 8, longest = 200;

function RefusedSignIns({ user: u, name, take, taken }: { user: User; name: string; take: (r: Refused) => void; taken: (r: Refused) => boolean }) {
  const [opened, setOpened] = useState(false);
  const emails = [u.email, u.user_name];
  const query = useQuery({
    queryKey: [...keys.events, 'refused sign-ins', ...emails],
    refetchInterval: 3000, // whoever is asked to try does so while this stands open
    queryFn: async () => {
      const look = (search?: string) => done(api.GET('/v1/audit/events', { params: { query: { type: 'signin.refused', limit: looked, ...(search && { search }) } } }));
      // Others who were refused since do not hide theirs, unless they name the address as well.
      const theirs = [...new Set(emails)].filter((e) => e && e.length <= longest);
      const found = await Promise.all([...theirs.map(look), look()]);
      return found.flatMap((page) => page.items);
    },
  });
  if (query.isPending) return <LoadingRows rows={2} />;
  if (query.isError) return <Failure error={query.error} retry={() => void query.refetch()} />;
  const { theirs, others } = refusedSignIns(query.data, emails);
  const list = (label: string, all: Refused[]) => (
    <Rows label={label}>
      {all.slice(0, shown).map((r) => (
        <Row key={r.event} name={<Text size="sm"><b style={anywhere}>{r.email || 'No verified address'}</b></Text>}
          facts={<Text size="sm">{r.connectionName}, <Code style={anywhere}><bdi>{visible(r.subject)}</bdi></Code>, <When at={r.at} />{r.from && <>, from {r.from}</>}, event <Code>{r.event}</Code></Text>}
          actions={<Button size="xs" variant={taken(r) ? 'filled' : 'light'} aria-pressed={taken(r)} aria-label={`Take this: ${visible(r.subject)} at ${r.connectionName}`} onClick={() => take(r)}>Take this</Button>} />
      ))}
    </Rows>
  );
  return (
    <Stack gap={4}>
      <Text size="sm" fw={500}>Refused of late with an address of {name}</Text>
      {theirs.length > 0 ? list('Sign-ins refused of late', theirs) : <Text size="sm">None. Have them try to sign in, and what was refused stands here.</Text>}
      {others.length > 0 && (
        <>
          <Button variant="subtle" size="xs" aria-expanded={opened} onClick={() => setOpened(!opened)}>{opened ? 'Hide the others' : 'Others who were refused'}</Button>
          {opened && <><Text size="sm">They may be anybody. Ask {name} for the number of the event that their page showed.</Text>{list('Others who were refused of late', others)}</>}
        </>
      )}
    </Stack>
  );
}
