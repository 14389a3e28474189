import { Anchor, Badge, Button, Code, Group, Paper, Stack, Text, Title } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { IconArrowLeft, IconPencil, IconTrash, IconUserCheck, IconUserOff } from '@tabler/icons-react';
import { Link, useNavigate, useParams } from 'react-router';
import { api, done, tagged, type Revocation, type Session, type User } from '../client/api';
import { keys, useCan, useMe, usePages, useRefresh } from '../client/queries';
import { Attributes } from '../parts/Attributes';
import { useConfirm } from '../parts/Confirm';
import { Facts, When } from '../parts/Facts';
import { IdentitiesOf } from '../parts/Identities';
import { DeviceName } from '../parts/Identity';
import { InGroups, RolesHeld } from '../parts/Memberships';
import { Page } from '../parts/Page';
import { More, Row, Rows } from '../parts/Rows';
import { Empty, Failure, Loading, LoadingRows } from '../parts/States';
import { endingWords, keptWords, sourceWord } from '../words/directory';
import { EventsOf } from './EventsOf';
import { PersonDialog } from './PersonForm';
import { SessionFacts, useSignOut } from './Sessions';

/** One person: who it is, what they may do, where they are signed in, and the switch. */
export function UserDetail() {
  const { id = '' } = useParams();
  const user = useQuery({ queryKey: [...keys.users, id], queryFn: () => tagged(api.GET('/v1/users/{id}', { params: { path: { id } } })) });
  if (user.isPending) return <Loading what="the person" />;
  if (user.isError) return <Page title="User" lead="This person cannot be shown."><Failure error={user.error} retry={() => void user.refetch()} /></Page>;
  return <Detail key={id} user={user.data.data} tag={user.data.tag} />;
}

function Detail({ user: u, tag }: { user: User; tag: string }) {
  const can = useCan();
  const go = useNavigate();
  const refresh = useRefresh();
  const end = useSignOut();
  const live = usePages([...keys.sessions, 'all of', u.id], (cursor) =>
    done(api.GET('/v1/sessions', { params: { query: { user: u.id, state: 'live', limit: 200, cursor } } })), can('gatehouse.sessions:read'));
  const [editing, { open, close }] = useDisclosure(false);
  const name = u.name || u.user_name;
  const kept = keptWords('person', u.source);
  const ending = endingWords(live.data && live.items, live.hasNextPage);
  const change = useConfirm<User>(
    (now) => (now.active ? `${name} is active again and can sign in.` : `${name} is deactivated: signed out everywhere, and no sign-in is accepted.`),
    () => refresh(keys.users, keys.sessions, keys.events),
  );
  const set = (active: boolean) => change.ask({
    title: active ? `Activate ${name}?` : `Deactivate ${name}?`,
    verb: active ? 'Activate' : 'Deactivate',
    text: active ? 'They can sign in again. Sessions that were ended stay ended.'
      : `${ending} They cannot sign in until somebody activates them.${u.source === 'scim' ? ' Your identity provider may change this again over SCIM.' : ''}`,
    act: () => done(api.PATCH('/v1/users/{id}', { params: { path: { id: u.id } }, body: { active } })),
  });
  const remove = useConfirm<unknown>(() => `${name} is deleted.`, async () => {
    await go('/users');
    await refresh(keys.users, keys.groups, keys.sessions, keys.events);
  });
  const away = () => remove.ask({
    title: `Delete ${name}?`,
    verb: 'Delete',
    text: `${ending} Their roles, their places in groups and what they sign in with are deleted with them. ${u.source === 'admin' ? 'This cannot be taken back.' : `${u.source === 'scim' ? 'Your identity provider may make them again over SCIM' : 'Their next sign-in may make them again'}, without what was given to them here.`}`,
    act: () => done(api.DELETE('/v1/users/{id}', { params: { path: { id: u.id } } })),
  });

  return (
    <Page title={name} lead={u.email || u.user_name} live
      actions={(
        <>
          {can('gatehouse.users:write') && !kept && <Button variant="default" leftSection={<IconPencil size={16} aria-hidden />} onClick={open}>Change</Button>}
          {can('gatehouse.sessions:delete') && u.active && (
            <Button variant="light" color="red" onClick={() => end.person({ id: u.id, name: u.name, email: u.email })}>Sign out everywhere</Button>
          )}
          {can('gatehouse.users:write') && (u.active
            ? <Button color="red" leftSection={<IconUserOff size={16} aria-hidden />} onClick={() => set(false)}>Deactivate</Button>
            : <Button leftSection={<IconUserCheck size={16} aria-hidden />} onClick={() => set(true)}>Activate</Button>)}
          {can('gatehouse.users:delete') && <Button variant="light" color="red" leftSection={<IconTrash size={16} aria-hidden />} onClick={away}>Delete</Button>}
        </>
      )}>
      <Anchor component={Link} to="/users" size="sm"><Group gap={4} component="span" display="inline-flex"><IconArrowLeft size={14} aria-hidden />All users</Group></Anchor>
      {change.outcome}
      {end.outcome}
      <Paper withBorder p="md">
        <Facts of={[
          ['State', u.active ? <Badge color="gate" variant="light">Active</Badge> : <Badge color="gray">Deactivated</Badge>],
          ['User name', u.user_name],
          ['Made by', sourceWord(u.source)],
          u.external_id ? ['External id', u.external_id] : undefined,
          ['Since', <When at={u.created_at} />],
          ['Changed', <When at={u.updated_at} />],
          ['Id', <Code>{u.id}</Code>],
        ]} />
        {kept && <Text size="sm" c="dimmed" mt="sm">{kept}</Text>}
        {can('gatehouse.users:read') && can('gatehouse.groups:read') && (
          <Anchor component={Link} to={`/provisioning?about=${u.id}`} size="sm" mt="sm" display="block">What was sent about them over SCIM</Anchor>
        )}
      </Paper>
      {u.source === 'scim' && <Attributes of={u.attributes} />}
      <InGroups groups={u.groups} none="Their identity provider, or an admin, puts people into groups." />
      <RolesHeld title="May do" roles={u.roles} none="Give them a role under Roles, or put them into a group that has one." />
      <IdentitiesOf user={u} name={name} />
      <FactorsOf user={u} name={name} />
      {can('gatehouse.sessions:read') && <SessionsOf query={live} end={end} />}
      <EventsOf id={u.id} person />
      {change.dialog}
      {end.dialog}
      {remove.dialog}
      <PersonDialog opened={editing} user={u} tag={tag} close={close} after={() => undefined} />
    </Page>
  );
}

/** What somebody proves themselves with beside their identity provider, and the way out when it is lost. */
function FactorsOf({ user: u, name }: { user: User; name: string }) {
  const can = useCan();
  const me = useMe();
  const refresh = useRefresh();
  const query = useQuery({ queryKey: [...keys.factors, u.id], queryFn: () => done(api.GET('/v1/users/{id}/factors', { params: { path: { id: u.id } } })) });
  const reset = useConfirm<Revocation>(
    () => `${name} has no second factor any more, and is signed out everywhere.`,
    () => refresh(keys.factors, keys.sessions, keys.events),
  );
  const ask = () => reset.ask({
    title: `Reset the second factors of ${name}?`,
    verb: 'Reset',
    text: 'All of them and the recovery codes go, and they are signed out everywhere. At the next sign-in that asks for one they set up a new one, with nothing but their identity provider behind them: make sure that it is them who ask.',
    act: () => done(api.DELETE('/v1/users/{id}/factors', { params: { path: { id: u.id } } })),
  });
  return (
    <Stack gap="sm">
      <Title order={2} fz="lg">Second factors</Title>
      {reset.outcome}
      {query.isPending ? <LoadingRows rows={1} /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.data.items.length === 0 ? <Empty title="None">This person has set up no second factor.</Empty> : (
          <>
            <Rows label="Second factors of this person">
              {query.data.items.map((f) => (
                <Row key={f.id} name={f.name} facts={<>{f.kind === 'passkey' ? `Passkey for ${f.host ?? ''}` : 'Authenticator app'}, last used <When at={f.last_used_at} /></>} />
              ))}
            </Rows>
            <Group justify="space-between">
              <Text size="sm">{query.data.recovery_codes} recovery codes left</Text>
              {can('gatehouse.users:write') && me.data?.id !== u.id && (
                <Button size="xs" variant="light" color="red" onClick={ask}>Reset second factors</Button>
              )}
            </Group>
          </>
        )}
      {reset.dialog}
    </Stack>
  );
}

function SessionsOf({ query, end }: { query: ReturnType<typeof usePages<Session>>; end: ReturnType<typeof useSignOut> }) {
  const can = useCan();
  return (
    <Stack gap="sm">
      <Title order={2} fz="lg">Signed in now</Title>
      {query.isPending ? <LoadingRows rows={2} /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length === 0 ? <Empty title="Not signed in">There is no live session of this person.</Empty> : (
          <>
            <Rows label="Live sessions of this person">
              {query.items.map((s) => (
                <Row key={s.id} name={<DeviceName device={s.device} />} facts={<SessionFacts session={s} />}
                  actions={can('gatehouse.sessions:delete') && (
                    <Button size="xs" variant="light" color="red" onClick={() => end.session(s)}>Sign out</Button>
                  )} />
              ))}
            </Rows>
            <More query={query} />
          </>
        )}
    </Stack>
  );
}
