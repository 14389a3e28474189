import { Alert, Button, Group, List, NumberInput, Paper, Select, Stack, Switch, TagsInput, Text, TextInput, Textarea, Title } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { IconAlertTriangle, IconHandStop, IconPlayerPlay } from '@tabler/icons-react';
import { useState, type ReactNode } from 'react';
import { api, done, type GoogleInput, type GoogleSync } from '../client/api';
import { Problem } from '../client/problem';
import { keys, useCan, useRefresh } from '../client/queries';
import { useConfirm } from '../parts/Confirm';
import { Facts, When } from '../parts/Facts';
import { Page } from '../parts/Page';
import { Failure, LoadingRows } from '../parts/States';
import { whatWasRead } from '../words/google';

/** The settings as somebody read them, with the version that a change is for; none at first. */
interface Seen {
  sync?: GoogleSync;
  tag?: string;
}

async function read(): Promise<Seen> {
  const answer = await api.GET('/v1/directory/google');
  if (answer.response.status === 404) return {};
  return { sync: await done(Promise.resolve(answer)), tag: answer.response.headers.get('ETag') ?? undefined };
}

/** How people and groups are fetched from Google Workspace, which pushes none. */
export function GoogleWorkspace() {
  const can = useCan();
  const refresh = useRefresh();
  const query = useQuery({ queryKey: keys.google, queryFn: read, refetchInterval: (q) => (q.state.data?.sync?.running ? 2_000 : 15_000) });
  const run = useMutation({ mutationFn: () => done(api.POST('/v1/directory/google/run')), onSuccess: () => refresh(keys.google) });
  const remove = useConfirm<unknown>(() => 'Google Workspace is not read any more. People and groups stay as they are.', () => refresh(keys.google));
  const sync = query.data?.sync;
  return (
    <Page title="Google Workspace" lead="Google pushes no people to applications like this one. Here they are fetched, with their groups, and go the way of those whom other providers push."
      actions={sync && can('gatehouse.settings:write') && (
        <>
          <Button leftSection={<IconPlayerPlay size={16} aria-hidden />} disabled={sync.paused || sync.running} loading={run.isPending} onClick={() => run.mutate()}>Read it now</Button>
          {can('gatehouse.settings:delete') && (
            <Button variant="light" color="red" onClick={() => remove.ask({
              title: 'Remove it?', verb: 'Remove', text: 'Nobody is fetched any more, and the key is forgotten. People and groups stay as they are: whoever leaves at Google stays here.',
              act: () => done(api.DELETE('/v1/directory/google', { params: { header: { 'If-Match': query.data?.tag } } })),
            })}>Remove</Button>
          )}
        </>
      )}>
      {remove.outcome}
      {run.isError && <Failure error={run.error} />}
      {query.isPending ? <LoadingRows rows={3} /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} /> : (
        <>
          {sync && <State sync={sync} />}
          {can('gatehouse.settings:write') && <Form seen={query.data} />}
        </>
      )}
      {remove.dialog}
    </Page>
  );
}

function State({ sync }: { sync: GoogleSync }) {
  const last = sync.last;
  return (
    <Paper withBorder p="md" radius="md">
      <Stack>
        <Facts of={[
          ['State', sync.running ? 'being read' : sync.paused ? 'paused' : last ? { done: 'well', held: 'held', failed: 'failing' }[last.result] : 'not read yet'],
          last && ['Last read', <When at={last.ended_at} />],
          sync.due_at && !sync.running ? ['Next', <When at={sync.due_at} />] : undefined,
          ['Service account', <span style={{ overflowWrap: 'anywhere' }}>{sync.service_account.client_email}</span>],
          ['Client ID', sync.service_account.client_id],
        ]} />
        {last && <Text size="sm">{whatWasRead(last)}</Text>}
        {last?.message && (
          <Alert color={last.result === 'failed' ? 'red' : 'yellow'} variant="light" icon={last.result === 'held' ? <IconHandStop aria-hidden /> : <IconAlertTriangle aria-hidden />}
            title={{ done: 'Look at this', held: 'People are held', failed: 'It could not be read' }[last.result]}>
            {last.message}
            {last.failing_since && <> Since <When at={last.failing_since} />.</>}
          </Alert>
        )}
        {sync.skipped.length > 0 && (
          <Stack gap={4}>
            <Title order={2} fz="sm">Not brought</Title>
            <List size="sm">
              {sync.skipped.map((s) => <List.Item key={s.kind + s.email}><b style={{ overflowWrap: 'anywhere' }}>{s.email}</b>: {s.reason}</List.Item>)}
            </List>
          </Stack>
        )}
      </Stack>
    </Paper>
  );
}

function Form({ seen: { sync, tag: first } }: { seen: Seen }) {
  const refresh = useRefresh();
  // What is saved takes the place of what this form began with, and of nobody else's change.
  const [tag, setTag] = useState(first);
  const [input, setInput] = useState<GoogleInput>(() => ({
    admin: sync?.admin ?? '', customer: sync?.customer, org_units: sync?.org_units, groups: sync?.groups, gone: sync?.gone, take_over: sync?.take_over,
    interval_minutes: sync?.interval_minutes, paused: sync?.paused,
  }));
  const set = (change: Partial<GoogleInput>) => setInput((before) => ({ ...before, ...change }));
  const body = Object.fromEntries(Object.entries(input).filter(([, v]) => v !== '' && v !== undefined)) as GoogleInput;
  const save = useMutation({
    mutationFn: async () => {
      const answer = await api.PUT('/v1/directory/google', { params: { header: { 'If-Match': tag } }, body });
      await done(Promise.resolve(answer));
      return answer.response.headers.get('ETag') ?? undefined;
    },
    onSuccess: (now) => {
      setTag(now);
      set({ key: undefined });
      return refresh(keys.google);
    },
  });
  const test = useMutation({ mutationFn: () => done(api.POST('/v1/directory/google/test', { body })) });
  const failed = save.error ?? test.error;
  const wrong = (field: string): ReactNode => (failed instanceof Problem ? failed.fields[field] : undefined);
  const ready = input.admin !== '' && (sync !== undefined || !!input.key);
  return (
    <Paper withBorder p="md" radius="md">
      <form onSubmit={(e) => { e.preventDefault(); test.reset(); save.mutate(); }}>
        <Stack>
          <Title order={2} fz="lg">{sync ? 'Settings' : 'Set it up'}</Title>
          <Textarea label="Key" description={sync ? 'The JSON file of another key of the service account; empty: the one there is' : 'The JSON file of a key of the service account. It is kept encrypted and shown to nobody'}
            required={!sync} autosize minRows={3} maxRows={8} spellCheck={false} autoComplete="off" value={input.key ?? ''} error={wrong('key')} onChange={(e) => set({ key: e.currentTarget.value })} />
          <TextInput label="Admin" description="Address of an admin of the account, for whom the service account reads" type="email" required value={input.admin} error={wrong('admin')} onChange={(e) => set({ admin: e.currentTarget.value })} />
          <TagsInput label="Organisational units" description="Only people in these and below, such as /Sales; empty: everybody" value={input.org_units ?? []} error={wrong('org_units')} onChange={(v) => set({ org_units: v.length ? v : undefined })} />
          <TagsInput label="Groups" description="Only these groups, by their address, and the people in them; empty: all groups, and everybody" value={input.groups ?? []} error={wrong('groups')} onChange={(v) => set({ groups: v.length ? v : undefined })} />
          <Select label="Who leaves" allowDeselect={false} value={input.gone ?? 'deactivate'} onChange={(v) => set({ gone: v as GoogleInput['gone'] })}
            data={[{ value: 'deactivate', label: 'is deactivated; a group is emptied' }, { value: 'delete', label: 'is deleted, and so is a group with its roles' }]} />
          <Switch label="Take people over who are here already" description="Those with the same user name whom somebody else has brought become Google's; off: they are skipped" checked={input.take_over ?? false} onChange={(e) => set({ take_over: e.currentTarget.checked })} />
          <NumberInput label="Minutes between readings" description="From 5 to 1440; empty: 30" min={5} max={1440} allowDecimal={false} value={input.interval_minutes ?? ''} error={wrong('interval_minutes')} onChange={(v) => set({ interval_minutes: typeof v === 'number' ? v : undefined })} />
          <TextInput label="Customer id" description="C0…, as the Admin console has it under Account settings; empty: that of the admin" value={input.customer ?? ''} error={wrong('customer')} onChange={(e) => set({ customer: e.currentTarget.value })} />
          <Switch label="Paused" description="Nothing is read for now" checked={input.paused ?? false} onChange={(e) => set({ paused: e.currentTarget.checked })} />
          {failed && <Failure error={failed} />}
          {save.isSuccess && <Alert color="teal" variant="light" role="status">Saved. {input.paused ? 'Nothing is read.' : 'It is being read.'}</Alert>}
          {test.isSuccess && <Found {...test.data} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" disabled={!ready} loading={test.isPending} onClick={() => { save.reset(); test.mutate(); }}>Test</Button>
            <Button type="submit" disabled={!ready} loading={save.isPending}>Save</Button>
          </Group>
        </Stack>
      </form>
    </Paper>
  );
}

interface FoundOne {
  email: string;
  name?: string;
  active: boolean;
}

function Found({ people, groups, partial }: { people: FoundOne[] | null; groups: FoundOne[] | null; partial?: boolean }) {
  const names = (all: FoundOne[] | null) => all?.map((x) => `${x.email}${x.active ? '' : ' (suspended)'}`).join(', ') || 'none';
  return (
    <Alert color="teal" variant="light" title="It works" role="status">
      <Text size="sm" style={{ overflowWrap: 'anywhere' }}>The first people: {names(people)}.{partial ? ' Not everybody was looked at: there may be more.' : ''}</Text>
      <Text size="sm" style={{ overflowWrap: 'anywhere' }}>The first groups: {names(groups)}.</Text>
    </Alert>
  );
}
