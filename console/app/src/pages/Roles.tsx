import { ActionIcon, Badge, Button, Code, Group, Modal, Select, Stack, Title } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation } from '@tanstack/react-query';
import { IconPlus, IconShieldCheck, IconTrash } from '@tabler/icons-react';
import { useState } from 'react';
import { api, done } from '../client/api';
import { keys, useCan, usePages, useRefresh } from '../client/queries';
import { useConfirm } from '../parts/Confirm';
import { Facts, When } from '../parts/Facts';
import { Page } from '../parts/Page';
import { Row, Rows } from '../parts/Rows';
import { Empty, Failure, LoadingRows } from '../parts/States';

const roleList = (cursor?: string) => done(api.GET('/v1/roles', { params: { query: { cursor } } }));
const assignmentList = (cursor?: string) => done(api.GET('/v1/assignments', { params: { query: { cursor } } }));

/** What roles there are and who has them. */
export function Roles() {
  const can = useCan();
  const [adding, { open, close }] = useDisclosure(false);
  const roles = usePages(keys.roles, roleList);
  return (
    <Page title="Roles" lead="A role holds permissions. Give it to a person or a group, for the whole account or for one team." live
      actions={can('gatehouse.assignments:write') && (
        <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={open}>Give a role</Button>
      )}>
      {can('gatehouse.assignments:read') && <Assignments />}
      <Title order={2} fz="lg">What each role may do</Title>
      {roles.isPending ? <LoadingRows /> : roles.isError ? <Failure error={roles.error} retry={() => void roles.refetch()} /> : (
        <Rows label="Roles">
          {roles.items.map((r) => (
            <Row key={r.name}
              name={<Stack gap={2}><Group gap={6}><b>{r.name}</b>{r.built_in && <Badge size="xs" variant="light" color="gray">Built in</Badge>}</Group></Stack>}
              facts={<Stack gap={6}>{r.description}<Group gap={6}>{r.permissions.map((p) => <Code key={p}>{p}</Code>)}</Group></Stack>} />
          ))}
        </Rows>
      )}
      <Modal opened={adding} onClose={close} title="Give a role" centered closeButtonProps={{ 'aria-label': 'Close' }}>
        <GiveRole close={close} />
      </Modal>
    </Page>
  );
}

function Assignments() {
  const can = useCan();
  const refresh = useRefresh();
  const query = usePages(keys.assignments, assignmentList);
  const take = useConfirm<unknown>(() => 'The role was taken away.', () => refresh(keys.assignments, keys.me));
  return (
    <Stack gap="sm">
      <Title order={2} fz="lg">Who has which role</Title>
      {take.outcome}
      {query.isPending ? <LoadingRows rows={3} /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length === 0 ? <Empty title="No roles given yet" icon={IconShieldCheck}>Give a role to a person or a group so that they can do more than sign in.</Empty> : (
          <Rows label="Roles given">
            {query.items.map((a) => (
              <Row key={a.id} name={<Group gap={6}><b>{a.subject.name || a.subject.id}</b><Badge size="xs" variant="light" color="gray">{a.subject.kind}</Badge></Group>}
                facts={<Facts of={[['Role', a.role], ['For', a.team ? `team ${a.team}` : 'the whole account'], ['Since', <When at={a.created_at} />]]} />}
                actions={can('gatehouse.assignments:delete') && (
                  <ActionIcon variant="subtle" color="red" aria-label={`Take ${a.role} from ${a.subject.name || a.subject.id}`}
                    onClick={() => take.ask({
                      title: 'Take the role away?', verb: 'Take away',
                      text: `${a.subject.name || a.subject.id} will no longer have ${a.role}${a.team ? ` in ${a.team}` : ''}. It takes effect with the next request.`,
                      act: () => done(api.DELETE('/v1/assignments/{id}', { params: { path: { id: a.id } } })),
                    })}><IconTrash size={18} stroke={1.6} /></ActionIcon>
                )} />
            ))}
          </Rows>
        )}
      {take.dialog}
    </Stack>
  );
}

const account = '(whole account)';

function GiveRole({ close }: { close: () => void }) {
  const refresh = useRefresh();
  const [role, setRole] = useState<string | null>(null);
  const [team, setTeam] = useState<string | null>(account);
  const [subject, setSubject] = useState<string | null>(null);
  const [search, setSearch] = useState('');
  const roles = usePages(keys.roles, roleList);
  const teams = usePages(keys.teams, (cursor) => done(api.GET('/v1/teams', { params: { query: { cursor } } })));
  const users = usePages([...keys.users, 'choose', search], (cursor) => done(api.GET('/v1/users', { params: { query: { cursor, limit: 20, ...(search && { search }) } } })));
  const groups = usePages(keys.groups, (cursor) => done(api.GET('/v1/groups', { params: { query: { cursor } } })));
  const give = useMutation({
    mutationFn: () => {
      const [kind, id] = (subject ?? '').split(' ');
      return done(api.POST('/v1/assignments', {
        body: { role: role ?? '', ...(team !== account && team && { team }), ...(kind === 'user' ? { user: id } : { group: id }) },
      }));
    },
    onSuccess: async () => {
      await refresh(keys.assignments, keys.me);
      close();
    },
  });
  return (
    <form onSubmit={(e) => { e.preventDefault(); give.mutate(); }}>
      <Stack>
        <Select label="To" placeholder="A person or group" searchable required value={subject} onChange={setSubject} onSearchChange={setSearch} nothingFoundMessage="Nobody matches"
          data={[
            { group: 'People', items: users.items.map((u) => ({ value: `user ${u.id}`, label: u.name ? `${u.name} (${u.user_name})` : u.user_name })) },
            { group: 'Groups', items: groups.items.map((g) => ({ value: `group ${g.id}`, label: g.name })) },
          ]} />
        <Select label="Role" required value={role} onChange={setRole} data={roles.items.map((r) => r.name)} />
        <Select label="For" value={team} onChange={setTeam} allowDeselect={false} data={[account, ...teams.items.map((t) => t.name)]} />
        {give.isError && <Failure error={give.error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>Cancel</Button>
          <Button type="submit" loading={give.isPending} disabled={!subject || !role}>Give the role</Button>
        </Group>
      </Stack>
    </form>
  );
}
