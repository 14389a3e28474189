import { Button, Group, Modal, PasswordInput, Select, Stack, Text, TextInput } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { api, done, type Connection } from '../client/api';
import { keys, useRefresh } from '../client/queries';
import { Failure } from './States';

/** The form in which an admin says whose security events a connection hears. */
export function SignalsForm({ of: connection, close }: { of: Connection | undefined; close: () => void }) {
  return (
    <Modal opened={connection !== undefined} onClose={close} title={`Security events for ${connection?.name ?? ''}`} centered closeOnClickOutside={false} closeButtonProps={{ 'aria-label': 'Close' }}>
      {connection && <Form key={connection.id} of={connection} close={close} />}
    </Modal>
  );
}

function Form({ of: connection, close }: { of: Connection; close: () => void }) {
  const refresh = useRefresh();
  const now = connection.spec.signals;
  const [issuer, setIssuer] = useState(now?.issuer ?? '');
  const [keysAt, setKeysAt] = useState(now?.jwks_url ?? '');
  const [audience, setAudience] = useState(now?.audience ?? '');
  const [way, setWay] = useState<'push' | 'poll'>(now?.poll ? 'poll' : 'push');
  const [endpoint, setEndpoint] = useState(now?.poll?.endpoint ?? '');
  const [secret, setSecret] = useState('');
  const keep = useMutation({
    mutationFn: (heard: boolean) => {
      const { signals: _, ...spec } = connection.spec;
      const poll = way === 'poll' ? { poll: { endpoint, ...(secret && { token: secret }) } } : secret && { authorization: secret };
      const signals = { issuer, ...(keysAt && { jwks_url: keysAt }), ...(audience && { audience }), ...poll };
      return done(api.PUT('/v1/connections/{name}', { params: { path: { name: connection.name } }, body: heard ? { ...spec, signals } : spec }));
    },
    onSuccess: async () => { await refresh(keys.connections); close(); },
  });
  const address = `${window.location.origin}/.gatehouse/signals/${connection.name}`;
  const kept = way === 'poll' ? now?.poll !== undefined : connection.has_signals_authorization;
  return (
    <form onSubmit={(e) => { e.preventDefault(); keep.mutate(true); }}>
      <Stack>
        <Text size="sm">A transmitter of the Shared Signals Framework tells when a session, an account or a device is not good any more, and its sessions here end at once.</Text>
        <TextInput label="Issuer" description="The transmitter, as its tokens name it" required type="url" maxLength={2048} value={issuer} onChange={(e) => setIssuer(e.currentTarget.value)} data-autofocus />
        <TextInput label="Keys" description="Where its keys are; empty: where its own configuration says so" type="url" maxLength={2048} value={keysAt} onChange={(e) => setKeysAt(e.currentTarget.value)} />
        <TextInput label="Audience" description={`Whom its tokens are for; empty: ${address}`} maxLength={2048} value={audience} onChange={(e) => setAudience(e.currentTarget.value)} />
        <Select label="Delivery" allowDeselect={false} value={way} onChange={(v) => { setWay(v as 'push' | 'poll'); setSecret(''); }}
          description={way === 'push' ? `To be pushed to ${address}` : undefined}
          data={[{ value: 'push', label: 'The transmitter pushes' }, { value: 'poll', label: 'We fetch' }]} />
        {way === 'poll' && <TextInput label="Poll endpoint" required type="url" maxLength={2048} value={endpoint} onChange={(e) => setEndpoint(e.currentTarget.value)} />}
        <PasswordInput label={way === 'poll' ? 'Token' : 'Authorization header'} autoComplete="off" maxLength={4096} required={way === 'poll' && !kept}
          description={kept ? 'Empty: the one that there is' : way === 'poll' ? 'By which we may fetch' : 'What a push must carry; empty: nothing'}
          value={secret} onChange={(e) => setSecret(e.currentTarget.value)} visibilityToggleButtonProps={{ 'aria-label': 'Show it' }} />
        {keep.isError && <Failure error={keep.error} />}
        <Group justify="space-between" gap="xs">
          {now ? <Button variant="light" color="red" loading={keep.isPending} onClick={() => keep.mutate(false)}>Hear none</Button> : <span />}
          <Group gap="xs">
            <Button variant="default" onClick={close}>Cancel</Button>
            <Button type="submit" loading={keep.isPending}>Save</Button>
          </Group>
        </Group>
      </Stack>
    </form>
  );
}
