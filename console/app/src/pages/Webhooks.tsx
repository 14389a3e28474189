import { Alert, Badge, Button, Code, Group, Modal, MultiSelect, Stack, Text, TextInput } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation, useQuery } from '@tanstack/react-query';
import { IconPlus, IconWebhook } from '@tabler/icons-react';
import { useState } from 'react';
import { api, done, type Webhook, type WebhookDelivery } from '../client/api';
import { keys, useCan, useRefresh } from '../client/queries';
import { useConfirm } from '../parts/Confirm';
import { Facts, When } from '../parts/Facts';
import { Page } from '../parts/Page';
import { Row, Rows } from '../parts/Rows';
import { Secret } from '../parts/Secret';
import { Empty, Failure, LoadingRows } from '../parts/States';
import { behind, changeTypes, outcomeOf, stateOf, stoppedBecause } from '../words/webhooks';

/** A webhook as it is now, and the tag that stands for that. */
type Standing = { webhook: Webhook; tag: string };

async function load(name: string): Promise<Standing> {
  const asked = api.GET('/v1/webhooks/{name}', { params: { path: { name } } });
  const webhook = await done(asked);
  return { webhook, tag: (await asked).response.headers.get('ETag') ?? '' };
}

/** Turns a webhook on or off as it is now: one that somebody changes meanwhile stays as it is. */
async function turn(name: string, enabled: boolean): Promise<string> {
  const { webhook, tag } = await load(name);
  await done(api.PUT('/v1/webhooks/{name}', { params: { path: { name }, header: { 'If-Match': tag } }, body: { ...webhook.spec, enabled } }));
  return enabled ? 'It is sent what has changed meanwhile.' : 'It is sent nothing until it is turned on again.';
}

type Shown = { title: string; secret: string; text: string };

/** Whom the changes of people and groups are sent to. */
export function Webhooks() {
  const can = useCan();
  const refresh = useRefresh();
  const [adding, { open, close }] = useDisclosure(false);
  const [shown, setShown] = useState<Shown>();
  const [looking, setLooking] = useState<string>();
  const [changing, setChanging] = useState<string>();
  // How far they have come is told by no event.
  const query = useQuery({ queryKey: keys.webhooks, queryFn: () => done(api.GET('/v1/webhooks', { params: { query: { limit: 50 } } })), refetchInterval: 10_000 });
  const change = useConfirm<string>((said) => said, () => refresh(keys.webhooks));
  // Personal data leaves by it: whoever sends it away must be able to read it.
  const may = can('gatehouse.webhooks:write') && can('gatehouse.users:read') && can('gatehouse.groups:read');
  return (
    <Page title="Webhooks" lead="Other systems that are sent what changes of people and groups, signed and in order." live
      actions={may && <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={open}>Add a webhook</Button>}>
      {change.outcome}
      {query.isPending ? <LoadingRows rows={2} /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.data.items.length === 0 ? <Empty title="No webhooks" icon={IconWebhook}>Add one for a system that has to follow your people and groups.</Empty> : (
          <Rows label="Webhooks">
            {query.data.items.map((w) => <One key={w.id} webhook={w} may={may} ask={change.ask} show={setShown} look={() => setLooking(w.name)} edit={() => setChanging(w.name)} />)}
          </Rows>
        )}
      {change.dialog}
      <Modal opened={adding} onClose={close} title="Add a webhook" centered closeOnClickOutside={false} closeButtonProps={{ 'aria-label': 'Close' }}>
        <Form close={close} saved={(w) => { close(); setShown({ title: `The secret of ${w.name}`, secret: w.secret ?? '', text: 'The receiver checks by it that a message is from here.' }); }} />
      </Modal>
      <Modal opened={changing !== undefined} onClose={() => setChanging(undefined)} title={`Change ${changing ?? ''}`} centered closeOnClickOutside={false} closeButtonProps={{ 'aria-label': 'Close' }}>
        {changing && <Change name={changing} close={() => setChanging(undefined)} />}
      </Modal>
      <Modal opened={shown !== undefined} onClose={() => setShown(undefined)} title={shown?.title} centered closeOnClickOutside={false} closeButtonProps={{ 'aria-label': 'Close' }}>
        {shown && <Secret secret={shown.secret} close={() => setShown(undefined)}>{shown.text}</Secret>}
      </Modal>
      <Modal opened={looking !== undefined} onClose={() => setLooking(undefined)} title={`The last messages to ${looking ?? ''}`} centered size="lg" closeButtonProps={{ 'aria-label': 'Close' }}>
        {looking && <Deliveries name={looking} />}
      </Modal>
    </Page>
  );
}

function One({ webhook: w, may, ask, show, look, edit }: { webhook: Webhook; may: boolean; ask: ReturnType<typeof useConfirm<string>>['ask']; show: (s: Shown) => void; look: () => void; edit: () => void }) {
  const can = useCan();
  const state = stateOf(w);
  const off = w.state === 'off' || w.state === 'stopped';
  return (
    <Row name={<Group gap={6}><b>{w.name}</b><Badge size="xs" color={state.color} variant="light">{state.label}</Badge></Group>}
      facts={<>
        <Facts of={[
          ['Address', <Code style={{ overflowWrap: 'anywhere' }}>{w.spec.url}</Code>],
          ['Sent', w.spec.types?.length ? w.spec.types.map((t) => changeTypes.find((c) => c.value === t)?.label ?? t).join(', ') : 'everything'],
          ['Stands', behind(w.behind)],
          w.failing_since ? ['Failing since', <When at={w.failing_since} />] : undefined,
          w.next_at ? ['Tried again', <When at={w.next_at} />] : undefined,
          w.previous_secret_until ? ['Secret before', <>in use until <When at={w.previous_secret_until} /></>] : undefined,
        ]} />
        {w.state === 'stopped' && <Alert mt="xs" color="red" variant="light">{stoppedBecause(w)}</Alert>}
      </>}
      actions={<Group gap="xs">
        <Button size="xs" variant="default" aria-label={`Last messages to ${w.name}`} onClick={look}>Last messages</Button>
        {can('gatehouse.webhooks:write') && (
          <Button size="xs" variant="default" aria-label={`Test ${w.name}`} onClick={() => ask({
            title: `Send ${w.name} a test?`, verb: 'Send', text: 'It is sent a message without any changes.',
            act: async () => outcomeOf(await done(api.POST('/v1/webhooks/{name}/test', { params: { path: { name: w.name } } }))),
          })}>Test</Button>
        )}
        {may && (
          <>
            <Button size="xs" variant="default" aria-label={`Change ${w.name}`} onClick={edit}>Change</Button>
            <Button size="xs" variant="light" aria-label={`New secret for ${w.name}`} onClick={() => ask({
              title: `Give ${w.name} a new secret?`, verb: 'Make it', text: 'For a day messages are signed with the secret before as well. That day is the time to give the receiver the new one.',
              act: async () => {
                const made = await done(api.POST('/v1/webhooks/{name}/rotate', { params: { path: { name: w.name } } }));
                show({ title: `The new secret of ${w.name}`, secret: made.secret ?? '', text: 'Give it to the receiver within a day.' });
                return 'There is a new secret.';
              },
            })}>New secret</Button>
            {off ? (
              <Button size="xs" variant="light" aria-label={`Turn on ${w.name}`} onClick={() => ask({
                title: `Turn ${w.name} on?`, verb: 'Turn on', text: 'It goes on where it was: what has changed meanwhile is sent first.', act: () => turn(w.name, true),
              })}>Turn on</Button>
            ) : (
              <Button size="xs" variant="light" color="red" aria-label={`Turn off ${w.name}`} onClick={() => ask({
                title: `Turn ${w.name} off?`, verb: 'Turn off', text: 'Changes wait for it for a week.', act: () => turn(w.name, false),
              })}>Turn off</Button>
            )}
          </>
        )}
        {can('gatehouse.webhooks:delete') && (
          <Button size="xs" variant="light" color="red" aria-label={`Delete ${w.name}`} onClick={() => ask({
            title: `Delete ${w.name}?`, verb: 'Delete', text: 'It is sent nothing any more, and its secret is gone. This cannot be undone.',
            act: async () => {
              await done(api.DELETE('/v1/webhooks/{name}', { params: { path: { name: w.name } } }));
              return 'The webhook is deleted.';
            },
          })}>Delete</Button>
        )}
      </Group>} />
  );
}

/** The form of a webhook that is there, as it is now. */
function Change({ name, close }: { name: string; close: () => void }) {
  const query = useQuery({ queryKey: [...keys.webhooks, name, 'form'], queryFn: () => load(name), gcTime: 0, staleTime: Infinity, refetchOnMount: 'always' });
  if (query.isError) return <Failure error={query.error} retry={() => void query.refetch()} />;
  if (query.isPending) return <LoadingRows rows={2} />;
  return <Form of={query.data} close={close} saved={close} />;
}

/** Makes a webhook, or changes the address and the changes of one that nobody else changes meanwhile. */
function Form({ of, close, saved }: { of?: Standing; close: () => void; saved: (w: Webhook) => void }) {
  const refresh = useRefresh();
  // What was there as the form was opened: it is loaded anew whenever webhooks change.
  const [before] = useState(of);
  const [name, setName] = useState(before?.webhook.name ?? '');
  const [url, setURL] = useState(before?.webhook.spec.url ?? '');
  const [types, setTypes] = useState<string[]>(before?.webhook.spec.types ?? []);
  const save = useMutation({
    mutationFn: () => done(api.PUT('/v1/webhooks/{name}', {
      params: { path: { name }, header: before ? { 'If-Match': before.tag } : { 'If-None-Match': '*' } },
      body: {
        url, ...(before && { enabled: before.webhook.spec.enabled ?? true }),
        ...(types.length > 0 && { types: changeTypes.map((c) => c.value).filter((t) => types.includes(t)) }),
      },
    })),
    onSuccess: async (w) => {
      await refresh(keys.webhooks);
      saved(w);
    },
  });
  return (
    <form onSubmit={(e) => { e.preventDefault(); save.mutate(); }}>
      <Stack>
        {before?.webhook.state === 'stopped' && <Text size="sm">It is turned on again as it is saved, and goes on where it was.</Text>}
        {!before && <TextInput label="Name" description="Lower-case letters, digits and hyphens" required maxLength={63} pattern="[a-z0-9]([a-z0-9\-]*[a-z0-9])?" value={name} onChange={(e) => setName(e.currentTarget.value)} data-autofocus />}
        <TextInput label="Address" description="Where the receiver listens, beginning with https://" type="url" required maxLength={2048} value={url} onChange={(e) => setURL(e.currentTarget.value)} />
        <MultiSelect label="Changes" description="Nothing chosen: all of them" data={changeTypes} value={types} onChange={setTypes} clearable />
        {save.isError && <Failure error={save.error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>Cancel</Button>
          <Button type="submit" loading={save.isPending}>{before ? 'Save' : 'Add the webhook'}</Button>
        </Group>
      </Stack>
    </form>
  );
}

function Deliveries({ name }: { name: string }) {
  const query = useQuery({
    queryKey: [...keys.webhooks, name, 'deliveries'],
    queryFn: () => done(api.GET('/v1/webhooks/{name}/deliveries', { params: { path: { name } } })),
  });
  if (query.isPending) return <LoadingRows rows={3} />;
  if (query.isError) return <Failure error={query.error} retry={() => void query.refetch()} />;
  if (query.data.items.length === 0) return <Text size="sm">Nothing was sent yet.</Text>;
  return (
    <Rows label="Last messages">
      {query.data.items.map((d: WebhookDelivery) => (
        <Row key={`${d.message_id} ${d.at}`} name={<When at={d.at} />}
          facts={<Facts of={[['Outcome', outcomeOf(d)], d.changes > 0 ? ['Changes', d.changes] : undefined, ['Message', <Code style={{ overflowWrap: 'anywhere' }}>{d.message_id}</Code>]]} />} />
      ))}
    </Rows>
  );
}
