import { Alert, Button, Group, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconHandStop } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { api, done, type ScimBrake } from '../client/api';
import { keys, useCan, useRefresh } from '../client/queries';
import { short, whatIsHeld } from '../words/brake';
import { exactly } from '../words/time';
import { useConfirm } from './Confirm';
import { When } from './Facts';

type Decision = 'release' | 'reject' | 'reset';

/** The brake as it was when somebody read it: a decision counts for that alone. */
interface Seen {
  brake: ScimBrake;
  tag: string;
}

async function read(): Promise<Seen> {
  const answer = await api.GET('/v1/scim/brake');
  return { brake: await done(Promise.resolve(answer)), tag: answer.response.headers.get('ETag') ?? '' };
}

function decide(decision: Decision, tag: string): Promise<ScimBrake> {
  const params = { header: { 'If-Match': tag } };
  switch (decision) {
    case 'release': return done(api.POST('/v1/scim/brake/release', { params }));
    case 'reject': return done(api.POST('/v1/scim/brake/reject', { params }));
    case 'reset': return done(api.POST('/v1/scim/brake/reset', { params }));
  }
}

const outcomes: Partial<Record<ScimBrake['state'], string>> = {
  released: 'Released. They go when your identity provider tries again.',
  rejected: 'Rejected. SCIM deactivates and deletes nobody from now on, and takes the last role from nobody.',
  open: 'It is open again, and who leaves is counted anew.',
};

/** What stands between a provisioning client and the people, where anything does. */
export function BrakeNotice() {
  const can = useCan();
  const refresh = useRefresh();
  const query = useQuery({ queryKey: keys.brake, queryFn: read });
  const confirm = useConfirm<ScimBrake>((b) => outcomes[b.state] ?? '', () => refresh(keys.brake, keys.alerts));
  const seen = query.data;
  const may = can('gatehouse.users:delete');
  const button = (word: string, decision: Decision, question: { title: string; text: string }, color?: string) => seen && (
    <Button size="xs" variant={color ? 'filled' : 'default'} color={color} onClick={() => confirm.ask({ ...question, verb: word, act: () => decide(decision, seen.tag) })}>{word}</Button>
  );
  const release = seen && button('Let them go', 'release', {
    title: 'Let everybody go?', text: `For ${short(seen.brake.window)} SCIM may deactivate and delete anybody, and take the last role from anybody, however many. They are signed out everywhere as they go.`,
  }, 'red');
  const reject = button('Keep them', 'reject', {
    title: 'Keep everybody?', text: 'SCIM deactivates and deletes nobody, and takes the last role from nobody, until you decide otherwise. Whoever really leaves has to be deactivated here.',
  });
  const reset = button('Count anew', 'reset', {
    title: 'Count anew?', text: 'SCIM may deactivate and delete the usual share of your people, and is held again after that.',
  });
  return (
    <Stack gap="sm">
      {confirm.outcome}
      {seen?.brake.state === 'held' && (
        <Notice color="red" title="SCIM is about to take out too many people" actions={may && <>{release}{reject}</>}>
          {whatIsHeld(seen.brake)}{seen.brake.since && <> Held since <When at={seen.brake.since} />.</>}
        </Notice>
      )}
      {seen?.brake.state === 'released' && (
        <Notice color="orange" title="SCIM may take out any number of people" actions={may && <>{reset}{reject}</>}>
          {seen.brake.decided_by} has released it{seen.brake.until && ` until ${exactly(seen.brake.until)}`}. {seen.brake.departures} have left since.
        </Notice>
      )}
      {seen?.brake.state === 'rejected' && (
        <Notice color="orange" title="SCIM takes nobody out" actions={may && <>{release}{reset}</>}>
          {seen.brake.decided_by} has rejected it{seen.brake.until ? ` until ${exactly(seen.brake.until)}` : ', until somebody decides otherwise'}.
        </Notice>
      )}
      {confirm.dialog}
    </Stack>
  );
}

function Notice({ color, title, children, actions }: { color: string; title: string; children: ReactNode; actions: ReactNode }) {
  return (
    <Alert color={color} variant="light" icon={<IconHandStop aria-hidden />} title={title} role="status" data-testid="brake">
      <Text size="sm">{children}</Text>
      {actions && <Group gap="xs" mt="sm">{actions}</Group>}
    </Alert>
  );
}
