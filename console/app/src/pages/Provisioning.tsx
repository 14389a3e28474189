import { Autocomplete, Badge, Box, Button, Group, SegmentedControl, Select, Stack, Text, TextInput, ThemeIcon, UnstyledButton } from '@mantine/core';
import { useDebouncedValue, useDisclosure } from '@mantine/hooks';
import { IconAdjustmentsHorizontal, IconAlertCircle, IconCheck, IconEye, IconSearch, IconTransferIn, IconX } from '@tabler/icons-react';
import { useEffect, useState } from 'react';
import { useSearchParams } from 'react-router';
import { api, done, type SCIMRequest } from '../client/api';
import { keys, useCan, usePages } from '../client/queries';
import { When } from '../parts/Facts';
import { Page } from '../parts/Page';
import { More } from '../parts/Rows';
import rows from '../parts/Rows.module.css';
import { Empty, Failure, LoadingRows } from '../parts/States';
import { errorWords, lostBecause, momentOf, outcomeOf, requestTitle } from '../words/provisioning';
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

/** What the list is narrowed by, in the address, so that it can be linked to and passed on. */
function useNarrowing() {
  const [params, setParams] = useSearchParams();
  const set = (name: string, value?: string | null) => setParams((now) => {
    const next = new URLSearchParams(now);
    if (value) next.set(name, value);
    else next.delete(name);
    return next;
  }, { replace: true });
  return { get: (name: string) => params.get(name) ?? '', set };
}

type Narrowing = ReturnType<typeof useNarrowing>;

/** What is typed, and what of it the list goes by once the typing rests. */
function useTyped({ get, set }: Narrowing, name: string) {
  const [typed, setTyped] = useState(get(name));
  const [rested] = useDebouncedValue(typed.trim(), 300);
  useEffect(() => {
    if (rested !== get(name)) set(name, rested);
    // The address follows what is typed, and not the other way round.
  }, [rested]);
  return { value: typed, onChange: setTyped };
}

type Typed = ReturnType<typeof useTyped>;

/** What identity providers have sent over SCIM, newest first, and what became of it. */
export function Provisioning() {
  const narrowing = useNarrowing();
  const { get, set } = narrowing;
  const about = useTyped(narrowing, 'about');
  const token = useTyped(narrowing, 'token');
  const from = useTyped(narrowing, 'from');
  const to = useTyped(narrowing, 'to');
  const view = (get('view') || 'all') as View;
  const open = get('request') || undefined;
  const show = (id?: string) => set('request', id);
  const special = ['token', 'scim_type', 'from', 'to'];
  const [more, { toggle }] = useDisclosure(special.some((name) => get(name)));

  const filter = {
    ...(get('about') && { about: get('about') }), ...(get('token') && { token: get('token') }), ...(get('method') && { method: get('method') as Method }),
    ...(Number(get('status')) > 0 && { status: Number(get('status')) }), ...(get('scim_type') && { scim_type: get('scim_type') }),
    ...(momentOf(get('from')) && { from: momentOf(get('from')) }), ...(momentOf(get('to')) && { to: momentOf(get('to')) }),
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
        <SegmentedControl value={view} onChange={(value) => set('view', value === 'all' ? '' : value)} aria-label="Which requests"
          data={[{ value: 'all', label: 'All' }, { value: 'failed', label: 'Failed' }, { value: 'changed', label: 'Changes' }]} />
        <TextInput placeholder="Person or group" aria-label="Search for a person or group" {...about} onChange={(e) => about.onChange(e.currentTarget.value)} w={{ base: '100%', xs: 240 }} maxLength={200}
          leftSection={<IconSearch size={16} aria-hidden />} />
        <Select placeholder="Every method" aria-label="Method" clearable value={get('method') || null} onChange={(value) => set('method', value)} data={methods} w={{ base: '100%', xs: 150 }} />
        <Select placeholder="Every answer" aria-label="Answer" clearable value={get('status') || null} onChange={(value) => set('status', value)} data={statuses} w={{ base: '100%', xs: 170 }} />
        <Button variant="subtle" leftSection={<IconAdjustmentsHorizontal size={16} aria-hidden />} onClick={toggle} aria-expanded={more} aria-controls="more-filters">More filters</Button>
      </Group>
      <div id="more-filters">{more && <MoreFilters narrowing={narrowing} token={token} from={from} to={to} />}</div>
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

/** What is asked for less often: by which token, with which error, when. */
function MoreFilters({ narrowing: { get, set }, token, from, to }: { narrowing: Narrowing; token: Typed; from: Typed; to: Typed }) {
  const may = useCan()('gatehouse.tokens:read');
  const tokens = usePages(keys.tokens, (cursor) => done(api.GET('/v1/tokens', { params: { query: { cursor } } })), may);
  const names = [...new Set((tokens.data ? tokens.items : []).filter((t) => t.scope === 'scim').map((t) => t.name))];
  const width = { base: '100%', xs: 210 };
  return (
    <Group gap="sm" align="flex-end">
      <Autocomplete label="Token" placeholder="Name or id" {...token} data={names} maxLength={128} w={width} />
      <Select label="Error" placeholder="Every error" clearable value={get('scim_type') || null} onChange={(value) => set('scim_type', value)} data={errorWords} w={width} />
      <TextInput label="From" type="datetime-local" {...from} onChange={(e) => from.onChange(e.currentTarget.value)} w={width} />
      <TextInput label="Before" type="datetime-local" {...to} onChange={(e) => to.onChange(e.currentTarget.value)} w={width} />
    </Group>
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
