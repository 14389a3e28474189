import { Anchor, Badge, Button, Code, Group, Paper, Stack, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconArrowLeft, IconUserCheck, IconUserOff } from '@tabler/icons-react';
import { Link, useParams } from 'react-router';
import { api, done, type Revocation, type User } from '../client/api';
import { keys, useCan, useMe, usePages, useRefresh } from '../client/queries';
import { useConfirm } from '../parts/Confirm';
import { Facts, When } from '../parts/Facts';
import { IdentitiesOf } from '../parts/Identities';
import { DeviceName } from '../parts/Identity';
import { Page } from '../parts/Page';
import { More, Row, Rows } from '../parts/Rows';
import { Empty, Failure, Loading, LoadingRows } from '../parts/States';
import { SessionFacts, useSignOut } from './Sessions';
import { sources } from './Users';

/** One person: who it is, where they are signed in, and the switch. */
export function UserDetail() {
  const { id = '' } = useParams();
  const user = useQuery({ queryKey: [...keys.users, id], queryFn: () => done(api.GET('/v1/users/{id}', { params: { path: { id } } })) });
  if (user.isPending) return <Loading what="the person" />;
  if (user.isError) return <Page title="User" lead="This person cannot be shown."><Failure error={user.error} retry={() => void user.refetch()} /></Page>;
  return <Detail user={user.data} />;
}

function Detail({ user: u }: { user: User }) {
  const can = useCan();
  const refresh = useRefresh();
  const end = useSignOut();
  const name = u.name || u.user_name;
  const change = useConfirm<User>(
    (now) => (now.active ? `${name} is active again and can sign in.` : `${name} is deactivated: signed out everywhere, and no sign-in is accepted.`),
    () => refresh(keys.users, keys.sessions, keys.events),
  );
  const set = (active: boolean) => change.ask({
    title: active ? `Activate ${name}?` : `Deactivate ${name}?`,
    verb: active ? 'Activate' : 'Deactivate',
    text: active ? 'They can sign in again. Sessions that were ended stay ended.' : 'They are signed out everywhere at once and cannot sign in until somebody activates them. Your identity provider may change this again over SCIM.',
    act: () => done(api.PATCH('/v1/users/{id}', { params: { path: { id: u.id } }, body: { active } })),
  });

  return (
    <Page title={name} lead={u.email || u.user_name} live
      actions={(
        <>
          {can('gatehouse.sessions:delete') && u.active && (
            <Button variant="light" color="red" onClick={() => end.person({ id: u.id, name: u.name, email: u.email })}>Sign out everywhere</Button>
          )}
          {can('gatehouse.users:write') && (u.active
            ? <Button color="red" leftSection={<IconUserOff size={16} aria-hidden />} onClick={() => set(false)}>Deactivate</Button>
            : <Button leftSection={<IconUserCheck size={16} aria-hidden />} onClick={() => set(true)}>Activate</Button>)}
        </>
      )}>
      <Anchor component={Link} to="/users" size="sm"><Group gap={4} component="span" display="inline-flex"><IconArrowLeft size={14} aria-hidden />All users</Group></Anchor>
      {change.outcome}
      {end.outcome}
      <Paper withBorder p="md">
        <Facts of={[
          ['State', u.active ? <Badge color="gate" variant="light">Active</Badge> : <Badge color="gray">Deactivated</Badge>],
          ['User name', u.user_name],
          ['Made by', sources[u.source] ?? u.source],
          ['Groups', u.groups.length > 0 ? u.groups.map((g) => g.name).join(', ') : 'none'],
          ['Since', <When at={u.created_at} />],
          ['Changed', <When at={u.updated_at} />],
          ['Id', <Code>{u.id}</Code>],
        ]} />
      </Paper>
      <IdentitiesOf user={u} name={name} />
      <FactorsOf user={u} name={name} />
      {can('gatehouse.sessions:read') && <SessionsOf id={u.id} end={end} />}
      {change.dialog}
      {end.dialog}
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

function SessionsOf({ id, end }: { id: string; end: ReturnType<typeof useSignOut> }) {
  const can = useCan();
  const query = usePages([...keys.sessions, 'of', id], (cursor) =>
    done(api.GET('/v1/sessions', { params: { query: { user: id, state: 'live', cursor } } })),
  );
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
