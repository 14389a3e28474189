import { Alert, Button, Group, List, Stack, Text } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { IconAlertTriangle } from '@tabler/icons-react';
import { useEffect, useRef, useState, type ReactNode } from 'react';
import { api, done, type Connection, type ConnectionChange, type ConnectionSpec } from '../../client/api';
import { Problem } from '../../client/problem';
import { keys, useRefresh } from '../../client/queries';
import { Failure } from '../States';
import { conditionOf, errorsOf, tidy, type Errors } from './spec';

interface Props {
  spec: ConnectionSpec; name: string; connection: Connection | undefined;
  /** The version that was read. */
  tag: string | undefined;
  wrong: () => Errors; complain: (errors: Errors) => void; close: () => void;
}

const nameTaken: Errors = { name: 'There is a connection of this name already.' };

/**
 * Saves the form. The API is asked first what the change would do: if that is more
 * than a change, whoever saves is told before. The footer is to be rendered.
 */
export function useSaving({ spec, name, connection, tag, wrong, complain, close }: Props): { submit: () => void; footer: ReactNode } {
  const refresh = useRefresh();
  const [told, setTold] = useState<{ change: ConnectionChange; of: ConnectionSpec }>();
  const path = { name };
  const put = useMutation({
    mutationFn: (body: ConnectionSpec) => done(api.PUT('/v1/connections/{name}', { params: { path, header: conditionOf(connection, tag) }, body })),
    onSuccess: async () => { await refresh(keys.connections); close(); },
    onError: (error) => { setTold(undefined); complain(!connection && error instanceof Problem && error.status === 412 ? nameTaken : errorsOf(error)); },
  });
  const check = useMutation({
    mutationFn: (body: ConnectionSpec) => done(api.POST('/v1/connections/{name}/check', { params: { path }, body })),
    onSuccess: (change, body) => {
      if (!connection && !change.new) complain(nameTaken);
      else if (change.trusts_anew || change.ends_sessions || change.loses_secrets) setTold({ change, of: body });
      else put.mutate(body);
    },
    onError: (error) => complain(errorsOf(error)),
  });
  useEffect(() => setTold(undefined), [spec]); // it was told of something else
  const submit = () => {
    const found = wrong();
    put.reset();
    check.reset();
    complain(found);
    if (Object.keys(found).length === 0) check.mutate(tidy(spec));
  };
  const error = put.error ?? check.error;
  const footer = told ? <Told change={told.change} pending={put.isPending} back={() => setTold(undefined)} save={() => put.mutate(told.of)} /> : (
    <>
      {error && <Failure error={error} />}
      <Group justify="flex-end" gap="xs">
        <Button variant="default" onClick={close}>Cancel</Button>
        <Button type="submit" loading={check.isPending || put.isPending}>Save</Button>
      </Group>
    </>
  );
  return { submit, footer };
}

/** What the change does besides. */
function Told({ change, pending, back, save }: { change: ConnectionChange; pending: boolean; back: () => void; save: () => void }) {
  const first = useRef<HTMLButtonElement>(null);
  useEffect(() => first.current?.focus(), []);
  return (
    <Alert color="yellow" variant="light" icon={<IconAlertTriangle aria-hidden />} title="Before this is saved" role="alert">
      <Stack gap="sm">
        <List size="sm" spacing={4}>
          {change.trusts_anew && <List.Item>From now on the connection believes something that it did not believe before about who people are. Make sure that the provider, its client and the rules are those you mean.</List.Item>}
          {change.ends_sessions && <List.Item>Everybody who has signed in by it is signed out at once, and has to sign in anew. That may include you.</List.Item>}
          {change.loses_secrets && <List.Item>The secret that is kept was meant for another client or address, and goes. Go back to enter the new one, or nobody can sign in.</List.Item>}
        </List>
        <Text size="sm">Nothing has been changed yet.</Text>
        <Group justify="flex-end" gap="xs">
          <Button ref={first} variant="default" disabled={pending} onClick={back}>Back</Button>
          <Button color="red" loading={pending} onClick={save}>Save it all the same</Button>
        </Group>
      </Stack>
    </Alert>
  );
}
