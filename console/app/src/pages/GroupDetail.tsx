import { Anchor, Badge, Button, Code, Group, Modal, Paper, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { IconArrowLeft, IconPencil, IconTrash } from '@tabler/icons-react';
import { Link, useNavigate, useParams } from 'react-router';
import { api, done, tagged, type Group as GroupOf } from '../client/api';
import { keys, useCan, useRefresh } from '../client/queries';
import { useConfirm } from '../parts/Confirm';
import { Facts, When } from '../parts/Facts';
import { InGroups, RolesHeld } from '../parts/Memberships';
import { Page } from '../parts/Page';
import { Failure, Loading } from '../parts/States';
import { keptWords, sizeWords } from '../words/directory';
import { EventsOf } from './EventsOf';
import { GroupForm, keeper } from './Groups';
import { Members } from './Members';

/** One group: who is in it, what it is in, and what that gives. */
export function GroupDetail() {
  const { id = '' } = useParams();
  const group = useQuery({ queryKey: [...keys.groups, id], queryFn: () => tagged(api.GET('/v1/groups/{id}', { params: { path: { id } } })) });
  if (group.isPending) return <Loading what="the group" />;
  if (group.isError) return <Page title="Group" lead="This group cannot be shown."><Failure error={group.error} retry={() => void group.refetch()} /></Page>;
  return <Detail key={id} group={group.data.data} tag={group.data.tag} />;
}

function Detail({ group: g, tag }: { group: GroupOf; tag: string }) {
  const can = useCan();
  const go = useNavigate();
  const refresh = useRefresh();
  const [naming, { open, close }] = useDisclosure(false);
  const kept = keptWords('group', g.source, g.connection);
  const gives = g.roles?.length ? ` They lose what it gives: ${[...new Set(g.roles.map((r) => r.role))].join(', ')}.` : '';
  const remove = useConfirm<unknown>(() => `${g.name} is deleted.`, async () => {
    await go('/groups');
    await refresh(keys.groups, keys.users, keys.assignments, keys.events);
  });
  const away = () => remove.ask({
    title: `Delete ${g.name}?`,
    verb: 'Delete',
    text: `In it: ${sizeWords(g)}. They stay in the directory, and stay signed in.${gives} Roles given to the group are taken back, with the next request.${kept ? ' Whoever keeps the group may make it again, without roles.' : ''}`,
    act: () => done(api.DELETE('/v1/groups/{id}', { params: { path: { id: g.id }, header: { 'If-Match': tag } } })),
  });
  const mayChange = can('gatehouse.groups:write') && !kept;
  return (
    <Page title={g.name} lead={`A group with ${sizeWords(g)} in it.`} live
      actions={(
        <>
          {mayChange && <Button variant="default" leftSection={<IconPencil size={16} aria-hidden />} onClick={open}>Rename</Button>}
          {can('gatehouse.groups:delete') && <Button variant="light" color="red" leftSection={<IconTrash size={16} aria-hidden />} onClick={away}>Delete</Button>}
        </>
      )}>
      <Anchor component={Link} to="/groups" size="sm"><Group gap={4} component="span" display="inline-flex"><IconArrowLeft size={14} aria-hidden />All groups</Group></Anchor>
      <Paper withBorder p="md">
        <Facts of={[
          ['Kept by', <Badge color="gate" variant="light">{keeper(g)}</Badge>],
          ['Members', sizeWords(g)],
          g.external_id ? ['External id', g.external_id] : undefined,
          ['Since', <When at={g.created_at} />],
          ['Changed', <When at={g.updated_at} />],
          ['Id', <Code>{g.id}</Code>],
        ]} />
        {kept && <Text size="sm" c="dimmed" mt="sm">{kept}</Text>}
        {can('gatehouse.users:read') && g.groups > 0 && (
          <Anchor component={Link} to={`/users?group=${g.id}`} size="sm" mt="sm" display="inline-block">Everybody in it, also through its groups</Anchor>
        )}
        {can('gatehouse.users:read') && can('gatehouse.groups:read') && (
          <Anchor component={Link} to={`/provisioning?about=${g.id}`} size="sm" mt="sm" display="block">What was sent about it over SCIM</Anchor>
        )}
      </Paper>
      <Members group={g} mayChange={mayChange} />
      <InGroups groups={g.in} none="It is a member of no other group." />
      <RolesHeld title="Gives its people" roles={g.roles} none="Give the group a role under Roles, or put it into a group that has one." />
      <EventsOf id={g.id} />
      {remove.dialog}
      <Modal opened={naming} onClose={close} title={`Rename ${g.name}`} centered closeButtonProps={{ 'aria-label': 'Close' }}>
        {naming && <GroupForm group={g} tag={tag} close={close} after={() => undefined} />}
      </Modal>
    </Page>
  );
}
