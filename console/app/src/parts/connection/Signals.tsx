import { NativeSelect, PasswordInput, Stack, Switch, TextInput } from '@mantine/core';
import { useState } from 'react';
import type { ConnectionSpec } from '../../client/api';
import { Copied } from './Addresses';
import { helpOf } from './fields';
import { useForm } from './form';
import { Wrong } from './Names';

type Said = NonNullable<ConnectionSpec['signals']>;

/** Whose security events are heard, and how they come. */
export function Signals() {
  const { spec, set } = useForm();
  const [before, setBefore] = useState<Said>(spec.signals ?? { issuer: '' });
  const turn = (on: boolean) => {
    if (spec.signals) setBefore(spec.signals);
    set({ signals: on ? before : undefined });
  };
  return (
    <Stack gap="sm">
      <Switch label="Hear security events" description={`${helpOf('signals', spec)}. What is heard can only end sessions`} checked={spec.signals !== undefined} onChange={(e) => turn(e.currentTarget.checked)} />
      {spec.signals && <Heard said={spec.signals} say={(change) => set({ signals: { ...spec.signals!, ...change } })} />}
      <Wrong path="signals" />
    </Stack>
  );
}

function Heard({ said, say }: { said: Said; say: (change: Partial<Said>) => void }) {
  const { name, errors, connection } = useForm();
  const at = (path: string) => ({ 'data-path': `signals.${path}`, error: errors[`signals.${path}`] });
  const address = `${window.location.origin}/.gatehouse/signals/${name || 'NAME'}`;
  const kept = connection?.spec.signals;
  return (
    <>
      <TextInput {...at('issuer')} label="Transmitter" description="Its issuer, as its tokens name it" required type="url" maxLength={2048} value={said.issuer} onChange={(e) => say({ issuer: e.currentTarget.value })} />
      <TextInput {...at('jwks_url')} label="Keys of the transmitter" description="Where they are; empty: where its own configuration says so" type="url" maxLength={2048} value={said.jwks_url ?? ''} onChange={(e) => say({ jwks_url: e.currentTarget.value })} />
      <TextInput {...at('audience')} label="Audience" description="Whom its tokens are for; empty: the address that they are pushed to" maxLength={2048} value={said.audience ?? ''} onChange={(e) => say({ audience: e.currentTarget.value })} />
      <NativeSelect label="Delivery" value={said.poll ? 'poll' : 'push'} onChange={(e) => say(e.currentTarget.value === 'poll' ? { poll: { endpoint: '' }, authorization: undefined } : { poll: undefined })}
        data={[{ value: 'push', label: 'The transmitter pushes them' }, { value: 'poll', label: 'We fetch them' }]} />
      {said.poll ? (
        <>
          <TextInput {...at('poll.endpoint')} label="Address to fetch from" required type="url" maxLength={2048} value={said.poll.endpoint} onChange={(e) => say({ poll: { ...said.poll, endpoint: e.currentTarget.value } })} />
          <Hidden path="signals.poll.token" label="Token" help="By which we may fetch" kept={kept?.poll?.endpoint === said.poll.endpoint} needed value={said.poll.token} change={(token) => say({ poll: { ...said.poll!, token } })} />
        </>
      ) : (
        <>
          <Copied label="To be pushed to" value={address} />
          <Hidden path="signals.authorization" label="Authorization header" help="What a push must carry; empty: nothing" kept={!!connection?.has_signals_authorization && kept?.issuer === said.issuer} value={said.authorization}
            change={(authorization) => say({ authorization })} />
        </>
      )}
    </>
  );
}

function Hidden({ path, label, help, kept, needed, value, change }: { path: string; label: string; help: string; kept: boolean; needed?: boolean; value: string | undefined; change: (value: string) => void }) {
  const { errors } = useForm();
  return (
    <div data-path={path}>
      <PasswordInput label={label} description={kept ? 'Never shown again; empty: the one that there is stays' : help} autoComplete="off" maxLength={4096} required={needed && !kept} error={errors[path]}
        value={value ?? ''} onChange={(e) => change(e.currentTarget.value)} visibilityToggleButtonProps={{ 'aria-label': 'Show it' }} />
    </div>
  );
}
