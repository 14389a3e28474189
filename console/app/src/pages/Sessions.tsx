import { ActionIcon, Badge, Button, Group, Menu, SegmentedControl, Stack, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconDeviceLaptop, IconDots, IconLogout, IconSearch, IconUserOff, IconUserScreen } from '@tabler/icons-react';
import { useState } from 'react';
import { Link } from 'react-router';
import { api, done, type Revocation, type Session } from '../client/api';
import { keys, useCan, usePages, useRefresh } from '../client/queries';
import { useConfirm } from '../parts/Confirm';
import { Facts, When } from '../parts/Facts';
import { deviceWords, kindWords, Person } from '../parts/Identity';
import { Page } from '../parts/Page';
import { More, Row, Rows } from '../parts/Rows';
import { Empty, Failure, LoadingRows } from '../parts/States';
import { summary } from '../words/revocation';

type State = 'live' | 'ended';

/** Who is signed in, where, and the ways to end it. */
export function Sessions() {
  const [state, setState] = useState<State>('live');
  const [typed, setTyped] = useState('');
  const [ip] = useDebouncedValue(typed.trim(), 300);
  const can = useCan();
  const end = useSignOut();
  const query = usePages([...keys.sessions, state, ip], (cursor) =>
    done(api.GET('/v1/sessions', { params: { query: { state, cursor, ...(ip && { ip }) } } })),
  );
  const mayEnd = can('gatehouse.sessions:delete');

  return (
    <Page title="Sessions & devices" lead="Who is signed in, from which device, and since when. A sign-out takes effect everywhere before it is confirmed here." live
      actions={mayEnd && (
        <Button color="red" variant="light" leftSection={<IconUserOff size={16} aria-hidden />} onClick={end.everybody}>Sign out everybody</Button>
      )}>
      {end.outcome}
      <Group gap="sm">
        <SegmentedControl value={state} onChange={(value) => setState(value as State)} aria-label="Which sessions"
          data={[{ value: 'live', label: 'Signed in now' }, { value: 'ended', label: 'Ended' }]} />
        <TextInput placeholder="IP address" aria-label="Only from this IP address" value={typed} onChange={(e) => setTyped(e.currentTarget.value)}
          leftSection={<IconSearch size={16} aria-hidden />} maw={220} />
      </Group>
      {query.isPending ? <LoadingRows /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length === 0 ? (
          <Empty title={ip ? 'No session from this address' : state === 'live' ? 'Nobody is signed in' : 'No session has ended yet'} icon={IconUserScreen}>
            {ip ? 'Check the address, or clear it to see all sessions.' : 'Sessions show here as people sign in.'}
          </Empty>
        ) : (
          <Stack>
            <Rows label={state === 'live' ? 'Sessions that are signed in' : 'Ended sessions'}>
              {query.items.map((s) => (
                <Row key={s.id} testId={`session-${s.user.email ?? s.user.id}`} name={<SessionPerson session={s} />}
                  facts={<SessionFacts session={s} />} actions={mayEnd && state === 'live' && <SessionActions session={s} end={end} />} />
              ))}
            </Rows>
            <More query={query} />
          </Stack>
        )}
      {end.dialog}
    </Page>
  );
}

function SessionPerson({ session: s }: { session: Session }) {
  return <Person name={s.user.name} email={s.user.email} id={s.user.id}
    badge={s.current && <Badge size="xs" variant="light">This session</Badge>} />;
}

/** The facts of a session that matter to somebody who decides about it. */
export function SessionFacts({ session: s }: { session: Session }) {
  return (
    <Facts of={[
      ['Device', deviceWords(s.device)],
      ['Kind', [kindWords(s.device.kind), s.device.os].filter(Boolean).join(', ') || 'unknown'],
      ['IP', s.ip || '–'],
      ['Signed in', <When at={s.signed_in_at} />],
      s.ended_at ? ['Ended', <><When at={s.ended_at} />{s.end_reason && `, ${s.end_reason}`}</>] : ['Last seen', <When at={s.last_seen_at} />],
      !s.ended_at && ['Open now', s.open_connections > 0 ? `${s.open_connections} ${s.open_connections === 1 ? 'connection' : 'connections'}` : 'nothing'],
    ]} />
  );
}

function SessionActions({ session: s, end }: { session: Session; end: ReturnType<typeof useSignOut> }) {
  const who = s.user.name || s.user.email || s.user.id;
  return (
    <Group gap={4} wrap="nowrap">
      <Button size="xs" variant="light" color="red" leftSection={<IconLogout size={14} aria-hidden />} onClick={() => end.device(s)}
        aria-label={`Sign out ${who} on ${deviceWords(s.device)}`}>Sign out</Button>
      <Menu position="bottom-end">
        <Menu.Target>
          <ActionIcon variant="subtle" color="gray" aria-label={`More about the session of ${who}`}><IconDots size={18} /></ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item leftSection={<IconLogout size={16} aria-hidden />} onClick={() => end.session(s)}>Sign out this session only</Menu.Item>
          <Menu.Item leftSection={<IconDeviceLaptop size={16} aria-hidden />} onClick={() => end.device(s)}>Sign out this device</Menu.Item>
          <Menu.Item leftSection={<IconUserOff size={16} aria-hidden />} color="red" onClick={() => end.person(s.user)}>Sign out {who} everywhere</Menu.Item>
          <Menu.Divider />
          <Menu.Item component={Link} to={`/users/${s.user.id}`}>Show {who}</Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </Group>
  );
}

/** The ways to sign out, each asked for and each told about afterwards. */
export function useSignOut() {
  const refresh = useRefresh();
  const confirm = useConfirm<Revocation>((r) => `${summary(r)} Recorded as ${r.event_id}.`, () => refresh(keys.sessions, keys.devices, keys.events));
  const name = (user: Session['user']) => user.name || user.email || user.id;
  return {
    dialog: confirm.dialog,
    outcome: confirm.outcome,
    session: (s: Session) => confirm.ask({
      title: 'Sign out this session?', verb: 'Sign out',
      text: `${name(s.user)} will be signed out of this session on ${deviceWords(s.device)}, and what it has open is closed.`,
      act: () => done(api.DELETE('/v1/sessions/{id}', { params: { path: { id: s.id } } })),
    }),
    device: (s: Session) => confirm.ask({
      title: 'Sign out this device?', verb: 'Sign out',
      text: `${name(s.user)} will be signed out on ${deviceWords(s.device)}, and everything open there is closed at once. They can sign in again.`,
      act: () => done(api.DELETE('/v1/devices/{id}', { params: { path: { id: s.device.id } } })),
    }),
    person: (user: Session['user']) => confirm.ask({
      title: `Sign out ${name(user)} everywhere?`, verb: 'Sign out everywhere',
      text: `All sessions of ${name(user)} on all devices end at once. They can sign in again.`,
      act: () => done(api.POST('/v1/sessions/revoke', { body: { user: user.id } })),
    }),
    everybody: () => confirm.ask({
      title: 'Sign out everybody?', verb: 'Sign out everybody',
      text: 'Every session of every person ends at once, except this one of yours. Everybody can sign in again.',
      act: () => done(api.POST('/v1/sessions/revoke', { body: { all: true, except_current: true } })),
    }),
  };
}
