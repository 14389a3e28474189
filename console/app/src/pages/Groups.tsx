import { Badge, Button, Group, Modal, Select, Stack, TextInput } from '@mantine/core';
import { useDebouncedValue, useDisclosure } from '@mantine/hooks';
import { useMutation } from '@tanstack/react-query';
import { IconChevronRight, IconHierarchy2, IconPlus, IconSearch } from '@tabler/icons-react';
import { useState } from 'react';
import { Link, useNavigate } from 'react-router';
import { api, done, type Group as GroupOf } from '../client/api';
import { keys, useCan, usePages, useRefresh } from '../client/queries';
import { Facts, When } from '../parts/Facts';
import { Page } from '../parts/Page';
import { More, Row, Rows } from '../parts/Rows';
import { Empty, Failure, LoadingRows } from '../parts/States';
import { roleWords, sizeWords, sources, sourceWord } from '../words/directory';

type Source = 'scim' | 'signin' | 'admin';

/** The groups of the tenant. */
export function Groups() {
  const can = useCan();
  const go = useNavigate();
  const [making, { open, close }] = useDisclosure(false);
  const [typed, setTyped] = useState('');
  const [search] = useDebouncedValue(typed.trim(), 300);
  const [source, setSource] = useState<Source | null>(null);
  const query = usePages([...keys.groups, 'list', search, source], (cursor) =>
    done(api.GET('/v1/groups', { params: { query: { cursor, ...(search && { search }), ...(source && { source }) } } })));
  const narrowed = search !== '' || source !== null;
  return (
    <Page title="Groups" lead="Sets of people, and of groups, that roles are given to. Your identity provider fills them, or you do." live
      actions={can('gatehouse.groups:write') && <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={open}>Make a group</Button>}>
      <Group gap="sm">
        <TextInput placeholder="Name or external id" aria-label="Search groups" value={typed} onChange={(e) => setTyped(e.currentTarget.value)} maxLength={200}
          leftSection={<IconSearch size={16} aria-hidden />} w={{ base: '100%', xs: 280 }} />
        <Select placeholder="Kept by anybody" aria-label="Kept by" clearable value={source} onChange={(v) => setSource(v as Source | null)} w={{ base: '100%', xs: 190 }}
          data={Object.entries(sources).map(([value, label]) => ({ value, label }))} />
      </Group>
      {query.isPending ? <LoadingRows /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length === 0 ? (
          <Empty title={narrowed ? 'Nothing matches' : 'No groups yet'} icon={IconHierarchy2}>
            {narrowed ? 'Try another name, or clear one of the filters.' : 'Groups show here once your identity provider pushes them over SCIM, a sign-in brings them, or you make one.'}
          </Empty>
        ) : (
          <Stack>
            <Rows label="Groups">
              {query.items.map((g) => (
                <Row key={g.id} testId={`group-${g.name}`}
                  name={<Group gap={6}><b style={{ overflowWrap: 'anywhere' }}>{g.name}</b>{g.in.length > 0 && <Badge size="xs" variant="light" color="gray">In {g.in.filter((x) => !x.indirect).map((x) => x.name).join(', ')}</Badge>}</Group>}
                  facts={<Facts of={[
                    ['Members', sizeWords(g)],
                    ['Kept by', keeper(g)],
                    g.roles && ['Gives', g.roles.length > 0 ? g.roles.map(roleWords).join('; ') : 'nothing'],
                    ['Since', <When at={g.created_at} />],
                  ]} />}
                  actions={<Button component={Link} to={`/groups/${g.id}`} size="xs" variant="subtle" rightSection={<IconChevronRight size={14} aria-hidden />} aria-label={`Show ${g.name}`}>Show</Button>} />
              ))}
            </Rows>
            <More query={query} />
          </Stack>
        )}
      <Modal opened={making} onClose={close} title="Make a group" centered closeButtonProps={{ 'aria-label': 'Close' }}>
        {making && <GroupForm close={close} after={(g) => void go(`/groups/${g.id}`)} />}
      </Modal>
    </Page>
  );
}

/** Who keeps a group, with the connection whose sign-ins do. */
export function keeper(g: GroupOf): string {
  return g.connection ? `${sourceWord(g.source)} of ${g.connection}` : sourceWord(g.source);
}

/** Names a new group, or one that is there anew. */
export function GroupForm({ group, tag, close, after }: { group?: GroupOf; tag?: string; close: () => void; after: (group: GroupOf) => void }) {
  const refresh = useRefresh();
  const [name, setName] = useState(group?.name ?? '');
  const save = useMutation({
    mutationFn: () => done(group
      ? api.PATCH('/v1/groups/{id}', { params: { path: { id: group.id }, header: { 'If-Match': tag } }, body: { name } })
      : api.POST('/v1/groups', { body: { name } })),
    onSuccess: async (now) => {
      await refresh(keys.groups, keys.users, keys.assignments, keys.events);
      close();
      after(now);
    },
  });
  return (
    <form onSubmit={(e) => { e.preventDefault(); save.mutate(); }}>
      <Stack>
        <TextInput label="Name" description="The app is told of a person's groups by name" required maxLength={256} value={name} onChange={(e) => setName(e.currentTarget.value)} data-autofocus />
        {save.isError && <Failure error={save.error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>Cancel</Button>
          <Button type="submit" loading={save.isPending}>{group ? 'Rename' : 'Make the group'}</Button>
        </Group>
      </Stack>
    </form>
  );
}
