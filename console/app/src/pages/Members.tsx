import { ActionIcon, Anchor, Badge, Button, Group, Modal, SegmentedControl, Stack, Text, TextInput, Title } from '@mantine/core';
import { useDebouncedValue, useDisclosure } from '@mantine/hooks';
import { useMutation } from '@tanstack/react-query';
import { IconPlus, IconSearch, IconUserMinus, IconUsers } from '@tabler/icons-react';
import { useState } from 'react';
import { Link } from 'react-router';
import { api, done, type Group as GroupOf, type GroupMember } from '../client/api';
import { keys, useCan, usePages, useRefresh } from '../client/queries';
import { useConfirm } from '../parts/Confirm';
import { Person } from '../parts/Identity';
import { findGroups, findPeople, PickMany } from '../parts/Pick';
import { More, Row, Rows } from '../parts/Rows';
import { Empty, Failure, LoadingRows } from '../parts/States';
import { listed, roleWords, sourceWord } from '../words/directory';

type Kind = 'user' | 'group';

/** How many are put into a group at once. */
const atOnce = 100;

const touched = [keys.groups, keys.users, keys.me, keys.events];

/** Who is in a group itself, page by page. */
export function Members({ group: g, mayChange }: { group: GroupOf; mayChange: boolean }) {
  const refresh = useRefresh();
  const [adding, { open, close }] = useDisclosure(false);
  const [kind, setKind] = useState<Kind>(g.people === 0 && g.groups > 0 ? 'group' : 'user');
  const [typed, setTyped] = useState('');
  const [search] = useDebouncedValue(typed.trim(), 300);
  const query = usePages([...keys.groups, g.id, 'members', kind, search], (cursor) =>
    done(api.GET('/v1/groups/{id}/members', { params: { path: { id: g.id }, query: { kind, cursor, ...(search && { search }) } } })));
  const take = useConfirm<unknown>(() => 'Taken out of the group.', () => refresh(...touched));
  const out = (m: GroupMember) => {
    const name = m.name || m.user_name || m.id;
    const loses = g.roles?.length ? ` lose${m.kind === 'user' ? 's' : ''} what it gives (${g.roles.map(roleWords).join('; ')}) with the next request, unless another group gives it as well.` : ' lose' + (m.kind === 'user' ? 's' : '') + ' no role by it.';
    take.ask({
      title: `Take ${name} out of ${g.name}?`, verb: 'Take out',
      text: `${m.kind === 'user' ? name : `The people of ${name}`}${loses}`,
      act: () => done(api.PATCH('/v1/groups/{id}/members', { params: { path: { id: g.id } }, body: { remove: [{ [m.kind]: m.id }] } })),
    });
  };
  return (
    <Stack gap="sm">
      <Group justify="space-between" gap="sm">
        <Title order={2} fz="lg">Members</Title>
        {mayChange && <Button size="xs" leftSection={<IconPlus size={14} aria-hidden />} onClick={open}>Add members</Button>}
      </Group>
      {take.outcome}
      <Group gap="sm">
        <SegmentedControl value={kind} onChange={(v) => setKind(v as Kind)} aria-label="Which members"
          data={[{ value: 'user', label: `People (${g.people.toLocaleString('en')})` }, { value: 'group', label: `Groups (${g.groups.toLocaleString('en')})` }]} />
        <TextInput placeholder={kind === 'user' ? 'Name or email' : 'Name'} aria-label="Search members" value={typed} onChange={(e) => setTyped(e.currentTarget.value)} maxLength={200}
          leftSection={<IconSearch size={16} aria-hidden />} w={{ base: '100%', xs: 240 }} />
      </Group>
      {query.isPending ? <LoadingRows rows={3} /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length === 0 ? (
          <Empty title={search ? 'Nothing matches' : kind === 'user' ? 'No people in it' : 'No groups in it'} icon={IconUsers}>
            {search ? 'Try another name.' : kind === 'user' ? 'People may still be in it through its groups.' : 'The people of a group in it have its roles as well.'}
          </Empty>
        ) : (
          <>
            <Rows label={kind === 'user' ? 'People in it' : 'Groups in it'}>
              {query.items.map((m) => (
                <Row key={m.id} testId={`member-${m.user_name ?? m.name}`}
                  name={m.kind === 'user'
                    ? <Person name={m.name} email={m.email || m.user_name} id={m.id} badge={m.inactive && <Badge size="xs" color="gray">Deactivated</Badge>} />
                    : <Text size="sm" fw={600} style={{ overflowWrap: 'anywhere' }}>{m.name}</Text>}
                  facts={<Text size="sm" c="dimmed">{m.kind === 'user' ? 'Made' : 'Kept'} by {sourceWord(m.source)}</Text>}
                  actions={(
                    <Group gap={4} wrap="nowrap">
                      <Anchor component={Link} to={`/${m.kind}s/${m.id}`} size="sm" aria-label={`Show ${m.name || m.user_name}`}>Show</Anchor>
                      {mayChange && <ActionIcon variant="subtle" color="red" aria-label={`Take ${m.name || m.user_name} out`} onClick={() => out(m)}><IconUserMinus size={18} stroke={1.6} /></ActionIcon>}
                    </Group>
                  )} />
              ))}
            </Rows>
            <More query={query} />
          </>
        )}
      {take.dialog}
      <Modal opened={adding} onClose={close} title={`Add members to ${g.name}`} centered closeButtonProps={{ 'aria-label': 'Close' }}>
        {adding && <AddMembers group={g} close={close} />}
      </Modal>
    </Stack>
  );
}

function AddMembers({ group: g, close }: { group: GroupOf; close: () => void }) {
  const can = useCan();
  const refresh = useRefresh();
  const [people, setPeople] = useState<{ value: string; label: string }[]>([]);
  const [groups, setGroups] = useState<{ value: string; label: string }[]>([]);
  const count = people.length + groups.length;
  const others = async (search: string) => (await findGroups(search)).filter((x) => x.value !== g.id);
  const add = useMutation({
    mutationFn: () => done(api.PATCH('/v1/groups/{id}/members', {
      params: { path: { id: g.id } }, body: { add: [...people.map((p) => ({ user: p.value })), ...groups.map((x) => ({ group: x.value }))] },
    })),
    onSuccess: async () => {
      await refresh(...touched);
      close();
    },
  });
  return (
    <form onSubmit={(e) => { e.preventDefault(); add.mutate(); }}>
      <Stack>
        {can('gatehouse.users:read') && <PickMany label="People" what={keys.users} find={findPeople} value={people} onChange={setPeople} max={atOnce} />}
        <PickMany label="Groups" what={[...keys.groups, 'but', g.id]} find={others} value={groups} onChange={setGroups} max={atOnce} />
        <Text size="sm">
          {g.roles?.length ? <>They get what the group gives, with their next request: <b>{listed(g.roles.map(roleWords))}</b>.</> : g.roles && 'The group gives no role.'}
          {groups.length > 0 && ' Whoever is put into such a group later is in this one, too.'}
        </Text>
        {add.isError && <Failure error={add.error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>Cancel</Button>
          <Button type="submit" loading={add.isPending} disabled={count === 0}>{count > 0 ? `Add ${count}` : 'Add'}</Button>
        </Group>
      </Stack>
    </form>
  );
}
