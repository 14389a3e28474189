import { Badge, Button, Group, SegmentedControl, Select, Stack, TextInput } from '@mantine/core';
import { useDebouncedValue, useDisclosure } from '@mantine/hooks';
import { IconChevronRight, IconPlus, IconSearch, IconUsers } from '@tabler/icons-react';
import { useState } from 'react';
import { Link, useNavigate, useSearchParams } from 'react-router';
import { api, done } from '../client/api';
import { keys, useCan, usePages } from '../client/queries';
import { BrakeNotice } from '../parts/BrakeNotice';
import { Facts, When } from '../parts/Facts';
import { Person } from '../parts/Identity';
import { Page } from '../parts/Page';
import { PickGroup } from '../parts/Pick';
import { More, Row, Rows } from '../parts/Rows';
import { Empty, Failure, LoadingRows } from '../parts/States';
import { sources, sourceWord } from '../words/directory';
import { PersonDialog } from './PersonForm';

type Active = 'all' | 'true' | 'false';
type Source = 'scim' | 'signin' | 'admin';

/** The people of the tenant. */
export function Users() {
  const can = useCan();
  const go = useNavigate();
  const [making, { open, close }] = useDisclosure(false);
  const [params, setParams] = useSearchParams();
  const group = params.get('group') ?? '';
  const [typed, setTyped] = useState('');
  const [search] = useDebouncedValue(typed.trim(), 300);
  const [active, setActive] = useState<Active>('all');
  const [source, setSource] = useState<Source | null>(null);
  const narrowed = search !== '' || active !== 'all' || source !== null || group !== '';
  const query = usePages([...keys.users, 'list', search, active, source, group], (cursor) =>
    done(api.GET('/v1/users', { params: { query: { cursor, ...(search && { search }), ...(active !== 'all' && { active }), ...(source && { source }), ...(group && { group }) } } })),
  );
  return (
    <Page title="Users" lead="Everybody who was provisioned by your identity provider, has signed in, or was made by an admin." live
      actions={<>
        <Button component={Link} to="/users/former" variant="subtle">Deleted users</Button>
        {can('gatehouse.users:write') && <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={open}>Make a person</Button>}
      </>}>
      <BrakeNotice />
      <Group gap="sm" align="flex-end">
        <TextInput placeholder="Name, email or external id" aria-label="Search people" value={typed} onChange={(e) => setTyped(e.currentTarget.value)} maxLength={200}
          leftSection={<IconSearch size={16} aria-hidden />} w={{ base: '100%', xs: 280 }} />
        <SegmentedControl value={active} onChange={(value) => setActive(value as Active)} aria-label="Which people"
          data={[{ value: 'all', label: 'All' }, { value: 'true', label: 'Active' }, { value: 'false', label: 'Deactivated' }]} />
        <Select placeholder="Made by anybody" aria-label="Made by" clearable value={source} onChange={(v) => setSource(v as Source | null)} w={{ base: '100%', xs: 190 }}
          data={Object.entries(sources).map(([value, label]) => ({ value, label }))} />
        {can('gatehouse.groups:read') && (
          <PickGroup label="In the group" placeholder="In any group" value={group} onChange={(id) => setParams(id ? { group: id } : {}, { replace: true })} w={{ base: '100%', xs: 210 }} />
        )}
      </Group>
      {query.isPending ? <LoadingRows /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length === 0 ? (
          <Empty title={narrowed ? 'Nobody matches' : 'No people yet'} icon={IconUsers}>
            {narrowed ? 'Try another name, or clear one of the filters.' : 'People show here once your identity provider pushes them over SCIM, or when they first sign in.'}
          </Empty>
        ) : (
          <Stack>
            <Rows label="People">
              {query.items.map((u) => (
                <Row key={u.id} testId={`user-${u.user_name}`}
                  name={<Person name={u.name} email={u.email || u.user_name} id={u.id} badge={!u.active && <Badge size="xs" color="gray">Deactivated</Badge>} />}
                  facts={<Facts of={[
                    ['Made by', sourceWord(u.source)],
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
      <PersonDialog opened={making} close={close} after={(u) => void go(`/users/${u.id}`)} />
    </Page>
  );
}
