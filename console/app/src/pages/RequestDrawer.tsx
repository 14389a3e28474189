import { Alert, Anchor, Badge, Button, Code, Drawer, Group, List, Stack, Text, Title } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation, useQuery } from '@tanstack/react-query';
import { IconPlayerPlay } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { Link } from 'react-router';
import { api, done, type SCIMChange, type SCIMRequestDetails } from '../client/api';
import { keys, useCan } from '../client/queries';
import { Failure, LoadingRows } from '../parts/States';
import { titleOf } from '../words/events';
import { changeTitle, membersOf, missingOf, readable, requestTitle, shownAtOnce } from '../words/provisioning';
import { exactly } from '../words/time';
import classes from './EventDrawer.module.css';

/** All that is kept of one request of a provider. */
export function RequestDrawer({ id, close }: { id?: string; close: () => void }) {
  const query = useQuery({
    queryKey: [...keys.scimRequests, 'one', id],
    queryFn: () => done(api.GET('/v1/scim/requests/{id}', { params: { path: { id: id ?? '' } } })),
    enabled: id !== undefined,
    staleTime: Infinity,
  });
  return (
    <Drawer opened={id !== undefined} onClose={close} position="right" size="xl" closeButtonProps={{ 'aria-label': 'Close' }}
      title={<Text component="span" fw={650} className={classes.title}>{query.data ? requestTitle(query.data) : 'Request'}</Text>}>
      {query.data ? <Details key={query.data.id} request={query.data} /> : query.isError ? <Failure error={query.error} /> : <LoadingRows />}
    </Drawer>
  );
}

function Details({ request: r }: { request: SCIMRequestDetails }) {
  const can = useCan();
  const facts: [string, ReactNode][] = [
    ['When', `${exactly(r.time)}, in ${r.took_ms} ms`],
    ['Token', r.token ?? 'none that is good'],
    ['Client', r.agent],
    ['Query', r.query && <Code>{r.query}</Code>],
    ...Object.entries(r.header ?? {}).map(([name, value]): [string, ReactNode] => [name, <Code>{value}</Code>]),
    ['Node', r.node],
    ['Request id', <Code>{r.id}</Code>],
  ];
  return (
    <Stack>
      <Result request={r} />
      <dl className={classes.facts}>
        {facts.filter(([, value]) => value).map(([label, value]) => <div key={label}><dt>{label}</dt><dd>{value}</dd></div>)}
      </dl>
      <Body title="What was sent" body={r.sent} none="Nothing but its address." />
      <Understood lines={r.understood} />
      <Changes changes={r.changes} />
      <Body title="What was answered" body={r.answer} none="Nothing but its status." />
      {can('gatehouse.audit:read') && <Records id={r.id} />}
      {can('gatehouse.users:write') && r.token_id && <DryRun request={r} />}
    </Stack>
  );
}

/** How it was answered, in a line. */
function Result({ request: r }: { request: SCIMRequestDetails }) {
  return (
    <Group gap="xs" align="flex-start">
      <Badge variant="light" color="gray">{r.status}</Badge>
      {r.scim_type && <Code>{r.scim_type}</Code>}
      {r.detail && <Text size="sm" className={classes.title}>{r.detail}</Text>}
    </Group>
  );
}

function Body({ title, body, none }: { title: string; body: SCIMRequestDetails['sent']; none: string }) {
  const [whole, { open }] = useDisclosure(false);
  const text = readable(body.text);
  const cut = !whole && text.length > shownAtOnce;
  const missing = missingOf(body);
  return (
    <Stack gap={6}>
      <Title order={3} fz="sm">{title}</Title>
      {text ? <Code block tabIndex={0} mah={320} className={classes.body}>{cut ? text.slice(0, shownAtOnce) : text}</Code> : !missing && <Text size="sm" c="dimmed">{none}</Text>}
      {cut && <Group><Button size="xs" variant="light" onClick={open}>{`Show all ${text.length} characters`}</Button></Group>}
      {missing && <Text size="sm" c="dimmed">{missing}</Text>}
    </Stack>
  );
}

function Understood({ lines, title = 'What was understood' }: { lines: string[]; title?: string }) {
  return (
    <Stack gap={6}>
      <Title order={3} fz="sm">{title}</Title>
      {lines.length > 0 ? <Code block tabIndex={0} mah={320} className={classes.body}>{lines.join('\n')}</Code> : <Text size="sm" c="dimmed">Nothing: it was refused before that, or names all there is to say in its address.</Text>}
    </Stack>
  );
}

function Changes({ changes, title = 'What has changed', none = 'Nothing.', foreseen = false }: { changes: SCIMChange[]; title?: string; none?: string; foreseen?: boolean }) {
  return (
    <Stack gap={6} data-testid="changes">
      <Title order={3} fz="sm">{title}</Title>
      {changes.length === 0 ? <Text size="sm" c="dimmed">{none}</Text> : changes.map((c) => <Change key={c.id} change={c} foreseen={foreseen} />)}
    </Stack>
  );
}

function Change({ change: c, foreseen }: { change: SCIMChange; foreseen: boolean }) {
  // Who is only foreseen to be made is nowhere, and who is only foreseen to go is there.
  const title = c.action !== (foreseen ? 'created' : 'deleted')
    ? <Anchor component={Link} to={c.kind === 'Group' ? `/groups/${c.id}` : `/users/${c.id}`} size="sm">{changeTitle(c)}</Anchor>
    : <Text size="sm" fw={600}>{changeTitle(c)}</Text>;
  return (
    <div>
      {title}
      <dl className={classes.changes}>
        {c.attributes.map((a) => (
          <div key={a.name}>
            <dt>{a.name}</dt>
            <dd>{a.before && <><Code>{a.before}</Code> → </>}{a.after ? <Code>{a.after}</Code> : 'nothing'}</dd>
          </div>
        ))}
        {c.joined && c.joined.count > 0 && <div><dt>{c.joined.count} joined</dt><dd>{membersOf(c.joined)}</dd></div>}
        {c.left && c.left.count > 0 && <div><dt>{c.left.count} left</dt><dd>{membersOf(c.left)}</dd></div>}
      </dl>
    </div>
  );
}

/** The records of the request in the log. */
function Records({ id }: { id: string }) {
  const query = useQuery({
    queryKey: [...keys.scimRequests, 'records', id],
    queryFn: () => done(api.GET('/v1/audit/events', { params: { query: { request: id, limit: 20 } } })),
  });
  if (!query.data || query.data.items.length === 0) return null;
  return (
    <Stack gap={6}>
      <Title order={3} fz="sm">In the log</Title>
      <List size="sm">
        {query.data.items.map((e) => <List.Item key={e.id}><Anchor component={Link} to={`/events?event=${e.id}`} size="sm">{titleOf(e.type)}{e.target?.name && `, ${e.target.name}`}</Anchor></List.Item>)}
      </List>
    </Stack>
  );
}

/** What would come of the request if it came now. */
function DryRun({ request: r }: { request: SCIMRequestDetails }) {
  const run = useMutation({ mutationFn: () => done(api.POST('/v1/scim/requests/{id}/replay', { params: { path: { id: r.id } } })) });
  return (
    <Stack gap="xs">
      <Group><Button variant="light" leftSection={<IconPlayerPlay size={16} aria-hidden />} loading={run.isPending} onClick={() => run.mutate()}>Try again as dry run</Button></Group>
      {run.isError && <Failure error={run.error} />}
      {run.data && (
        <Alert color="blue" variant="light" title="If it came now" role="status" data-testid="foreseen">
          <Stack gap="sm">
            <Text size="sm">This was tried, and nothing of it was done.</Text>
            <Result request={run.data} />
            <Understood lines={run.data.understood} title="What would be understood" />
            <Changes changes={run.data.changes} title="What would change" foreseen />
            <Body title="What would be answered" body={run.data.answer} none="Nothing but its status." />
          </Stack>
        </Alert>
      )}
    </Stack>
  );
}
