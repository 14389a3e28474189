import { Anchor, Button, Code, Group, Stack, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconArrowLeft, IconSearch, IconUserX } from '@tabler/icons-react';
import { useState } from 'react';
import { Link } from 'react-router';
import { api, done } from '../client/api';
import { keys, useCan, usePages, useRefresh } from '../client/queries';
import { useConfirm } from '../parts/Confirm';
import { Facts, When } from '../parts/Facts';
import { Person } from '../parts/Identity';
import { Page } from '../parts/Page';
import { More, Row, Rows } from '../parts/Rows';
import { Empty, Failure, LoadingRows } from '../parts/States';

/** Who was deleted and is kept a record of. */
export function FormerUsers() {
  const can = useCan();
  const refresh = useRefresh();
  const [typed, setTyped] = useState('');
  const [search] = useDebouncedValue(typed.trim(), 300);
  const query = usePages([...keys.users, 'former', search], (cursor) =>
    done(api.GET('/v1/former-users', { params: { query: { cursor, ...(search && { search }) } } })),
  );
  const erase = useConfirm<unknown>(() => 'The record is removed for good.', () => refresh(keys.users, keys.events));
  const ask = (id: string, name: string) => erase.ask({
    title: `Erase the record of ${name}?`,
    verb: 'Erase',
    text: 'Nobody can tell from the directory any more who this was. The log keeps what it has recorded.',
    act: () => done(api.DELETE('/v1/former-users/{id}', { params: { path: { id } } })),
  });
  return (
    <Page title="Deleted users" lead="Who they were, for as long as the settings keep it. They cannot sign in, and whoever comes by the same name is somebody else." live>
      <Anchor component={Link} to="/users" size="sm"><Group gap={4} component="span" display="inline-flex"><IconArrowLeft size={14} aria-hidden />All users</Group></Anchor>
      {erase.outcome}
      <TextInput placeholder="Name, email or id" aria-label="Search deleted people" value={typed} onChange={(e) => setTyped(e.currentTarget.value)}
        leftSection={<IconSearch size={16} aria-hidden />} w={{ base: '100%', xs: 280 }} />
      {query.isPending ? <LoadingRows /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length === 0 ? (
          <Empty title={search ? 'Nobody matches' : 'No records'} icon={IconUserX}>
            {search ? 'Try another name, or show all.' : 'Records of deleted people are kept once the settings say for how long.'}
          </Empty>
        ) : (
          <Stack>
            <Rows label="Deleted people">
              {query.items.map((u) => (
                <Row key={u.id} testId={`former-${u.user_name}`}
                  name={<Person name={u.name} email={u.email || u.user_name} id={u.id} />}
                  facts={<Facts of={[
                    ['Deleted', <When at={u.deleted_at} />],
                    ['By', u.deleted_by],
                    ['Was here since', <When at={u.created_at} />],
                    ['Kept until', <When at={u.until} />],
                    ['Id', <Code>{u.id}</Code>],
                  ]} />}
                  actions={can('gatehouse.users:delete') && (
                    <Button size="xs" variant="light" color="red" aria-label={`Erase the record of ${u.name || u.user_name}`} onClick={() => ask(u.id, u.name || u.user_name)}>Erase</Button>
                  )} />
              ))}
            </Rows>
            <More query={query} />
          </Stack>
        )}
      {erase.dialog}
    </Page>
  );
}
