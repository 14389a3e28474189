import { SegmentedControl, Group, Stack, Title } from '@mantine/core';
import { useState } from 'react';
import { api, done } from '../client/api';
import { keys, useCan, usePages } from '../client/queries';
import { More } from '../parts/Rows';
import rows from '../parts/Rows.module.css';
import { Empty, Failure, LoadingRows } from '../parts/States';
import { EventDrawer } from './EventDrawer';
import { EventRow } from './Events';

type Side = 'target' | 'actor';

/** What was done to somebody or something of late and, of a person, what they did. */
export function EventsOf({ id, person }: { id: string; person?: boolean }) {
  const may = useCan()('gatehouse.audit:read');
  const [side, setSide] = useState<Side>('target');
  const [open, setOpen] = useState<string>();
  const query = usePages([...keys.events, 'of', id, side], (cursor) =>
    done(api.GET('/v1/audit/events', { params: { query: { [side]: id, cursor, limit: 10 } } })), may);
  if (!may) return null;
  return (
    <Stack gap="sm">
      <Group justify="space-between" gap="sm">
        <Title order={2} fz="lg">Recent events</Title>
        {person && (
          <SegmentedControl size="xs" value={side} onChange={(v) => setSide(v as Side)} aria-label="Which events"
            data={[{ value: 'target', label: 'About them' }, { value: 'actor', label: 'By them' }]} />
        )}
      </Group>
      {query.isPending ? <LoadingRows rows={2} /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length === 0 ? <Empty title="Nothing recorded">Sign-ins and changes show here as they happen.</Empty> : (
          <>
            <ul className={rows.rows} aria-label="Recent events, newest first">
              {query.items.map((e) => <EventRow key={e.id} event={e} open={() => setOpen(e.id)} />)}
            </ul>
            <More query={query} />
          </>
        )}
      <EventDrawer id={open} known={query.items.find((e) => e.id === open)} close={() => setOpen(undefined)} />
    </Stack>
  );
}
