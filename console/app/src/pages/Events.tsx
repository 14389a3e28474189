import { Badge, Box, Group, SegmentedControl, Select, Stack, Text, TextInput, ThemeIcon, UnstyledButton } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconAlertCircle, IconCheck, IconListSearch, IconSearch, IconX } from '@tabler/icons-react';
import { useState } from 'react';
import { useSearchParams } from 'react-router';
import { api, done, type AuditEvent } from '../client/api';
import { keys, usePages } from '../client/queries';
import { When } from '../parts/Facts';
import { Page } from '../parts/Page';
import { More } from '../parts/Rows';
import rows from '../parts/Rows.module.css';
import { Empty, Failure, LoadingRows } from '../parts/States';
import { eventGroups, isEventID, titleOf } from '../words/events';
import { EventDrawer } from './EventDrawer';
import classes from './Events.module.css';

type View = 'events' | 'access';
type Outcome = 'success' | 'refused' | 'failed';

const marks = {
  success: { color: 'teal', icon: IconCheck, word: 'Success' },
  refused: { color: 'orange', icon: IconX, word: 'Refused' },
  failed: { color: 'red', icon: IconAlertCircle, word: 'Failed' },
};

/** What happened, newest first, as it happens. */
export function Events() {
  const [params, setParams] = useSearchParams();
  const [view, setView] = useState<View>('events');
  const [typed, setTyped] = useState('');
  const [search] = useDebouncedValue(typed.trim(), 300);
  const [group, setGroup] = useState<string | null>(null);
  const [outcome, setOutcome] = useState<Outcome | null>(null);
  const open = params.get('event') ?? undefined;
  const show = (id?: string) => setParams(id ? { event: id } : {}, { replace: true });

  const type = eventGroups.find((g) => g.label === group)?.types.join(',');
  const filter = { ...(search && !isEventID(search) && { search }), ...(type && view === 'events' && { type }), ...(outcome && { outcome }) };
  const query = usePages([...keys.events, view, filter], (cursor) =>
    done(view === 'events'
      ? api.GET('/v1/audit/events', { params: { query: { ...filter, cursor } } })
      : api.GET('/v1/audit/access', { params: { query: { ...filter, cursor } } })),
  );

  return (
    <Page title="Event log" lead="Sign-ins, sign-outs, refusals and changes, each recorded before it took effect. Paste the event id from an error page to find its reason." live>
      <Group gap="sm" align="flex-end">
        <SegmentedControl value={view} onChange={(value) => setView(value as View)} aria-label="Which records"
          data={[{ value: 'events', label: 'Events' }, { value: 'access', label: 'Requests' }]} />
        <TextInput placeholder="Search, or an event id" aria-label="Search the log" value={typed} w={{ base: '100%', xs: 300 }}
          leftSection={<IconSearch size={16} aria-hidden />}
          onChange={(e) => {
            const text = e.currentTarget.value;
            setTyped(text);
            if (isEventID(text)) show(text.trim());
          }} />
        {view === 'events' && (
          <Select placeholder="Every kind" aria-label="Kind of event" clearable value={group} onChange={setGroup} data={eventGroups.map((g) => g.label)} w={{ base: '100%', xs: 210 }} />
        )}
        <Select placeholder="Every outcome" aria-label="Outcome" clearable value={outcome} onChange={(value) => setOutcome(value as Outcome | null)}
          data={Object.entries(marks).map(([value, mark]) => ({ value, label: mark.word }))} w={{ base: '100%', xs: 160 }} />
      </Group>
      {query.isPending ? <LoadingRows rows={8} /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length === 0 ? (
          <Empty title="Nothing matches" icon={IconListSearch}>No record fits these filters. Clear one of them, or search for another word.</Empty>
        ) : (
          <Stack>
            <ul className={rows.rows} aria-label="Events, newest first">
              {query.items.map((e) => <EventRow key={e.id} event={e} open={() => show(e.id)} />)}
            </ul>
            <More query={query} />
          </Stack>
        )}
      <EventDrawer id={open} known={query.items.find((e) => e.id === open)} close={() => show()} />
    </Page>
  );
}

/** The mark of how an event ended. */
export function OutcomeMark({ outcome }: { outcome: AuditEvent['outcome'] }) {
  const mark = marks[outcome as Outcome] ?? marks.failed;
  const Icon = mark.icon;
  return <ThemeIcon size={30} radius="xl" variant="light" color={mark.color} aria-label={mark.word} role="img"><Icon size={16} stroke={2} aria-hidden /></ThemeIcon>;
}

/** One event of a list, which opens all that is recorded of it. */
export function EventRow({ event: e, open }: { event: AuditEvent; open: () => void }) {
  // What happened to whom says more than the address it was asked for at.
  const target = e.target?.id !== e.actor.id && (e.target?.name || [e.target?.kind, e.target?.id].filter(Boolean).join(' '));
  const what = e.message || target || [e.method, e.path].filter(Boolean).join(' ');
  const who = e.actor.name || (e.actor.kind === 'anonymous' ? 'Somebody unknown' : e.actor.id || e.actor.kind);
  return (
    <li className={classes.item} data-testid={`event-${e.type}`}>
      <UnstyledButton className={classes.event} onClick={open}>
        <OutcomeMark outcome={e.outcome} />
        <Box miw={0}>
          <Group gap={8}>
            <Text size="sm" fw={600}>{titleOf(e.type)}</Text>
            {(e.count ?? 0) > 1 && <Badge size="xs" variant="light" color="gray">{e.count} times</Badge>}
          </Group>
          <Text size="sm" c="dimmed" lineClamp={2}>{what}</Text>
        </Box>
        <Box className={classes.who}>
          <Text size="sm" truncate>{who}</Text>
          <Text size="xs" c="dimmed"><When at={e.time} />{e.ip && ` · ${e.ip}`}</Text>
        </Box>
      </UnstyledButton>
    </li>
  );
}
