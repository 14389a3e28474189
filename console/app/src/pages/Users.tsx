import { Badge, Group, SegmentedControl, Stack, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconChevronRight, IconSearch, IconUsers } from '@tabler/icons-react';
import { useState } from 'react';
import { Link } from 'react-router';
import { Button } from '@mantine/core';
import { api, done } from '../client/api';
import { keys, usePages } from '../client/queries';
import { BrakeNotice } from '../parts/BrakeNotice';
import { Facts, When } from '../parts/Facts';
import { Person } from '../parts/Identity';
import { Page } from '../parts/Page';
import { More, Row, Rows } from '../parts/Rows';
import { Empty, Failure, LoadingRows } from '../parts/States';

type Active = 'all' | 'true' | 'false';

export const sources: Record<string, string> = { scim: 'SCIM', signin: 'First sign-in', admin: 'An admin' };

/** The people of the tenant. */
export function Users() {
  const [typed, setTyped] = useState('');
  const [search] = useDebouncedValue(typed.trim(), 300);
  const [active, setActive] = useState<Active>('all');
  const query = usePages([...keys.users, 'list', search, active], (cursor) =>
    done(api.GET('/v1/users', { params: { query: { cursor, ...(search && { search }), ...(active !== 'all' && { active }) } } })),
  );
  return (
    <Page title="Users" lead="Everybody who was provisioned by your identity provider or has signed in." live
      actions={<Button component={Link} to="/users/former" variant="subtle">Deleted users</Button>}>
      <BrakeNotice />
      <Group gap="sm">
        <TextInput placeholder="Name or email" aria-label="Search people" value={typed} onChange={(e) => setTyped(e.currentTarget.value)}
          leftSection={<IconSearch size={16} aria-hidden />} w={{ base: '100%', xs: 280 }} />
        <SegmentedControl value={active} onChange={(value) => setActive(value as Active)} aria-label="Which people"
          data={[{ value: 'all', label: 'All' }, { value: 'true', label: 'Active' }, { value: 'false', label: 'Deactivated' }]} />
      </Group>
      {query.isPending ? <LoadingRows /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length === 0 ? (
          <Empty title={search || active !== 'all' ? 'Nobody matches' : 'No people yet'} icon={IconUsers}>
            {search || active !== 'all' ? 'Try another name, or show all people.' : 'People show here once your identity provider pushes them over SCIM, or when they first sign in.'}
          </Empty>
        ) : (
          <Stack>
            <Rows label="People">
              {query.items.map((u) => (
                <Row key={u.id} testId={`user-${u.user_name}`}
                  name={<Person name={u.name} email={u.email || u.user_name} id={u.id} badge={!u.active && <Badge size="xs" color="gray">Deactivated</Badge>} />}
                  facts={<Facts of={[
                    ['Made by', sources[u.source] ?? u.source],
                    ['Groups', u.groups.length > 0 ? u.groups.map((g) => g.name).join(', ') : 'none'],
                    ['Since', <When at={u.created_at} />],
                  ]} />}
                  actions={<Button component={Link} to={`/users/${u.id}`} size="xs" variant="subtle" rightSection={<IconChevronRight size={14} aria-hidden />}
                    aria-label={`Show ${u.name || u.user_name}`}>Show</Button>} />
              ))}
            </Rows>
            <More query={query} />
          </Stack>
        )}
    </Page>
  );
}
