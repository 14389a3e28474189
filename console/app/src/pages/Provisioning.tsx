import { Badge, Box, Group, SegmentedControl, Select, Stack, Text, TextInput, ThemeIcon, UnstyledButton } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconAlertCircle, IconCheck, IconEye, IconSearch, IconTransferIn, IconX } from '@tabler/icons-react';
import { useEffect, useState } from 'react';
import { useSearchParams } from 'react-router';
import { api, done, type SCIMRequest } from '../client/api';
import { keys, usePages } from '../client/queries';
import { When } from '../parts/Facts';
import { Page } from '../parts/Page';
import { More } from '../parts/Rows';
import rows from '../parts/Rows.module.css';
import { Empty, Failure, LoadingRows } from '../parts/States';
import { lostBecause, outcomeOf, requestTitle } from '../words/provisioning';
import classes from './Events.module.css';
import { RequestDrawer } from './RequestDrawer';

type View = 'all' | 'failed' | 'changed';
type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

const methods: Method[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];
const statuses = [{ value: '2', label: 'Done (2xx)' }, { value: '4', label: 'Refused (4xx)' }, { value: '429', label: 'Held back (429)' }, { value: '5', label: 'Failed (5xx)' }];

const marks = {
  changed: { color: 'teal', icon: IconCheck, word: 'Changed something' },
  unchanged: { color: 'gray', icon: IconEye, word: 'Changed nothing' },
  partly: { color: 'orange', icon: IconAlertCircle, word: 'Refused in part' },
  refused: { color: 'orange', icon: IconX, word: 'Refused' },
  failed: { color: 'red', icon: IconAlertCircle, word: 'Failed' },
};

/** How often the list is read again: most requests leave no event to hear of. */
const again = 10_000;

/** What identity providers have sent over SCIM, newest first, and what became of it. */
export function Provisioning() {
  const [params, setParams] = useSearchParams();
  const [view, setView] = useState<View>('all');
  const [typed, setTyped] = useState('');
  const [about] = useDebouncedValue(typed.trim(), 300);
  const [method, setMethod] = useState<Method | null>(null);
  const [status, setStatus] = useState<string | null>(null);
  const open = params.get('request') ?? undefined;
  const show = (id?: string) => setParams(id ? { request: id } : {}, { replace: true });

  const filter = {
    ...(about && { about }), ...(method && { method }), ...(status && { status: Number(status) }),
    ...(view === 'failed' && { failed: true }), ...(view === 'changed' && { changed: true }),
  };
  const query = usePages([...keys.scimRequests, filter], (cursor) => done(api.GET('/v1/scim/requests', { params: { query: { ...filter, cursor } } })));
  const { refetch } = query;
  useEffect(() => {
    const timer = setInterval(() => void refetch(), again);
    return () => clearInterval(timer);
  }, [refetch]);

  return (
    <Page title="Provisioning" lead="What your identity provider has sent over SCIM in the last 30 days, what was understood, what has changed, and what it was answered. Passwords and tokens are never kept.">
      <Group gap="sm" align="flex-end">
        <SegmentedControl value={view} onChange={(value) => setView(value as View)} aria-label="Which requests"
          data={[{ value: 'all', label: 'All' }, { value: 'failed', label: 'Failed' }, { value: 'changed', label: 'Changes' }]} />
        <TextInput placeholder="Person or group" aria-label="Search for a person or group" value={typed} w={{ base: '100%', xs: 240 }} maxLength={200}
          leftSection={<IconSearch size={16} aria-hidden />} onChange={(e) => setTyped(e.currentTarget.value)} />
        <Select placeholder="Every method" aria-label="Method" clearable value={method} onChange={(value) => setMethod(value as Method | null)} data={methods} w={{ base: '100%', xs: 150 }} />
        <Select placeholder="Every answer" aria-label="Answer" clearable value={status} onChange={setStatus} data={statuses} w={{ base: '100%', xs: 170 }} />
      </Group>
      {query.isPending ? <LoadingRows rows={8} /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length === 0 ? (
          <Empty title="No requests" icon={IconTransferIn}>Nothing that fits these filters has come in the last 30 days. A provider shows here as soon as it has sent something with a SCIM token.</Empty>
        ) : (
          <Stack>
            <ul className={rows.rows} aria-label="Requests, newest first">
              {query.items.map((r) => <RequestRow key={r.id} request={r} open={() => show(r.id)} />)}
            </ul>
            <More query={query} />
          </Stack>
        )}
      <RequestDrawer id={open} close={() => show()} />
    </Page>
  );
}

function RequestRow({ request: r, open }: { request: SCIMRequest; open: () => void }) {
  const mark = marks[outcomeOf(r)];
  const Icon = mark.icon;
  const text = (
    <>
      <ThemeIcon size={30} radius="xl" variant="light" color={r.lost ? 'gray' : mark.color} aria-label={r.lost ? 'Not kept' : mark.word} role="img"><Icon size={16} stroke={2} aria-hidden /></ThemeIcon>
      <Box miw={0}>
        <Text size="sm" fw={600} lineClamp={2} className={classes.break}>{requestTitle(r)}</Text>
        <Group gap={8}>
          {r.lost ? <Text size="sm" c="dimmed">{lostBecause(r)}</Text> : <Badge size="xs" variant="light" color="gray">{r.status}</Badge>}
          {r.scim_type && <Text size="sm" c="dimmed">{r.scim_type}</Text>}
          {!r.lost && <Text size="sm" c="dimmed">{mark.word.toLowerCase()}</Text>}
        </Group>
      </Box>
      <Box className={classes.who}>
        <Text size="sm" truncate>{r.lost ? r.node : r.token ?? 'Without a good token'}</Text>
        <Text size="xs" c="dimmed"><When at={r.time} /></Text>
      </Box>
    </>
  );
  return (
    <li className={classes.item} data-testid={`request-${r.status}`}>
      {r.lost ? <div className={classes.event}>{text}</div> : <UnstyledButton className={classes.event} onClick={open}>{text}</UnstyledButton>}
    </li>
  );
}
