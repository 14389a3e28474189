import { ActionIcon, Button, Code, Group, Modal, Stack, TextInput } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation } from '@tanstack/react-query';
import { IconPlus, IconTrash, IconUsersGroup } from '@tabler/icons-react';
import { useState } from 'react';
import { api, done } from '../client/api';
import { keys, useCan, usePages, useRefresh } from '../client/queries';
import { useConfirm } from '../parts/Confirm';
import { Facts, When } from '../parts/Facts';
import { Page } from '../parts/Page';
import { Row, Rows } from '../parts/Rows';
import { Empty, Failure, LoadingRows } from '../parts/States';

/** The teams that roles can be given for. */
export function Teams() {
  const can = useCan();
  const refresh = useRefresh();
  const [adding, { open, close }] = useDisclosure(false);
  const query = usePages(keys.teams, (cursor) => done(api.GET('/v1/teams', { params: { query: { cursor } } })));
  const remove = useConfirm<unknown>(() => 'The team and the roles given for it are deleted.', () => refresh(keys.teams, keys.assignments));
  const add = can('gatehouse.teams:write') && <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={open}>Make a team</Button>;
  return (
    <Page title="Teams" lead="A team stands in the app's addresses. Roles can be given for one team alone." live actions={add}>
      {remove.outcome}
      {query.isPending ? <LoadingRows /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length === 0 ? <Empty title="No teams yet" icon={IconUsersGroup}>Make a team to give people roles in one part of the app.</Empty> : (
          <Rows label="Teams">
            {query.items.map((t) => (
              <Row key={t.id} name={<b>{t.display_name || t.name}</b>} facts={<Facts of={[['Name in addresses', <Code>{t.name}</Code>], ['Since', <When at={t.created_at} />]]} />}
                actions={can('gatehouse.teams:delete') && (
                  <ActionIcon variant="subtle" color="red" aria-label={`Delete ${t.display_name || t.name}`} onClick={() => remove.ask({
                    title: `Delete ${t.display_name || t.name}?`, verb: 'Delete',
                    text: 'The team and every role that was given for it are deleted. People lose what those roles let them do with their next request.',
                    act: () => done(api.DELETE('/v1/teams/{id}', { params: { path: { id: t.id } } })),
                  })}><IconTrash size={18} stroke={1.6} /></ActionIcon>
                )} />
            ))}
          </Rows>
        )}
      {remove.dialog}
      <Modal opened={adding} onClose={close} title="Make a team" centered closeButtonProps={{ 'aria-label': 'Close' }}><MakeTeam close={close} /></Modal>
    </Page>
  );
}

function MakeTeam({ close }: { close: () => void }) {
  const refresh = useRefresh();
  const [name, setName] = useState('');
  const [display, setDisplay] = useState('');
  const make = useMutation({
    mutationFn: () => done(api.POST('/v1/teams', { body: { name, ...(display && { display_name: display }) } })),
    onSuccess: async () => {
      await refresh(keys.teams);
      close();
    },
  });
  return (
    <form onSubmit={(e) => { e.preventDefault(); make.mutate(); }}>
      <Stack>
        <TextInput label="Name in addresses" description="Lower-case letters, digits and hyphens; it cannot be changed later" required maxLength={63}
          pattern="[a-z0-9]([a-z0-9\-]*[a-z0-9])?" value={name} onChange={(e) => setName(e.currentTarget.value)} data-autofocus />
        <TextInput label="Shown as" maxLength={200} value={display} onChange={(e) => setDisplay(e.currentTarget.value)} />
        {make.isError && <Failure error={make.error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>Cancel</Button>
          <Button type="submit" loading={make.isPending}>Make the team</Button>
        </Group>
      </Stack>
    </form>
  );
}
