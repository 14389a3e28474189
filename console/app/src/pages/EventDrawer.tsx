import { Anchor, Code, CopyButton, Drawer, Group, Stack, Text, Button, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconCopy } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { Link } from 'react-router';
import { api, done, type AuditEvent } from '../client/api';
import { Failure, LoadingRows } from '../parts/States';
import { titleOf } from '../words/events';
import { exactly } from '../words/time';
import classes from './EventDrawer.module.css';
import { OutcomeMark } from './Events';

/** Everything that is recorded of one event. */
export function EventDrawer({ id, known, close }: { id?: string; known?: AuditEvent; close: () => void }) {
  const query = useQuery({
    queryKey: ['event', id],
    queryFn: () => done(api.GET('/v1/audit/events/{id}', { params: { path: { id: id ?? '' } } })),
    enabled: id !== undefined && known === undefined,
  });
  const event = known ?? query.data;
  return (
    <Drawer opened={id !== undefined} onClose={close} position="right" size="lg" closeButtonProps={{ 'aria-label': 'Close' }}
      title={<Text component="span" fw={650}>{event ? titleOf(event.type) : 'Event'}</Text>}>
      {event ? <Details event={event} /> : query.isError ? <Failure error={query.error} /> : <LoadingRows />}
    </Drawer>
  );
}

function Details({ event: e }: { event: AuditEvent }) {
  const facts: [string, ReactNode][] = [
    ['When', exactly(e.time)],
    ['Outcome', e.outcome],
    ['Reason', e.reason && <Code>{e.reason}</Code>],
    ['Who', [e.actor.name, e.actor.kind].filter(Boolean).join(' · ')],
    ['What', e.target && [e.target.kind, e.target.name || e.target.id].filter(Boolean).join(' ')],
    ['Request', e.path && `${e.method ?? ''} ${e.path}`],
    ['Host', e.host],
    ['Permission', e.permission && <Code>{e.permission}</Code>],
    ['Role', e.role],
    ['Team', e.team],
    ['IP', e.ip],
    ['Browser', e.user_agent],
    ['Session', e.session && <Code>{e.session}</Code>],
    ['Device', e.device && <Code>{e.device}</Code>],
    ['Request id', e.request_id && <Code>{e.request_id}</Code>],
    ['Event id', <Code>{e.id}</Code>],
    ['Node, number', `${e.node}, ${e.seq}`],
    ...Object.entries(e.details ?? {}).map(([name, value]): [string, ReactNode] => [name, value]),
  ];
  return (
    <Stack>
      <Group wrap="nowrap" align="flex-start">
        <OutcomeMark outcome={e.outcome} />
        <Text>{e.message || titleOf(e.type)}</Text>
      </Group>
      <dl className={classes.facts}>
        {facts.filter(([, value]) => value).map(([label, value]) => (
          <div key={label}><dt>{label}</dt><dd>{value}</dd></div>
        ))}
      </dl>
      {e.actor.kind === 'user' && e.actor.id && <Anchor component={Link} to={`/users/${e.actor.id}`} size="sm">Show {e.actor.name || 'the person'}</Anchor>}
      <Group justify="space-between">
        <Title order={3} fz="sm">The whole record</Title>
        <CopyButton value={JSON.stringify(e, null, 2)}>
          {({ copied, copy }) => <Button size="compact-xs" variant="subtle" leftSection={<IconCopy size={14} aria-hidden />} onClick={copy}>{copied ? 'Copied' : 'Copy'}</Button>}
        </CopyButton>
      </Group>
      <Code block tabIndex={0}>{JSON.stringify(e, null, 2)}</Code>
    </Stack>
  );
}
