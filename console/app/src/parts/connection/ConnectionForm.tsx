import { Alert, Drawer, List, Select } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { api, done, type Connection, type Provider } from '../../client/api';
import { Problem } from '../../client/problem';
import { keys } from '../../client/queries';
import { Failure, LoadingRows } from '../States';
import { FormBody } from './FormBody';
import type { Theme } from './fields';
import { otherOAuth2 } from './spec';

/** Which connection the form is about, and what of it is to be looked at first. */
export interface Subject {
  name: string | undefined;
  open?: Theme;
}

/** The form in which an admin connects an identity provider, or changes how it is connected. */
export function ConnectionForm({ of: subject, close }: { of: Subject | undefined; close: () => void }) {
  const [touched, setTouched] = useState(false);
  const leave = () => { setTouched(false); close(); };
  return (
    <Drawer opened={subject !== undefined} onClose={leave} position="right" size="xl" title={subject?.name ? `Change ${subject.name}` : 'Connect an identity provider'}
      closeOnClickOutside={false} closeOnEscape={!touched} closeButtonProps={{ 'aria-label': 'Close' }} styles={{ title: { fontWeight: 650 } }}>
      {subject && <Loaded key={subject.name ?? ''} of={subject} touch={() => setTouched(true)} close={leave} />}
    </Drawer>
  );
}

/** A connection is read anew for the form, with the tag by which a change in between is noticed. */
export interface Read {
  connection: Connection;
  tag: string | undefined;
}

async function read(name: string): Promise<Read> {
  const answer = await api.GET('/v1/connections/{name}', { params: { path: { name } } });
  return { connection: await done(Promise.resolve(answer)), tag: answer.response.headers.get('ETag') ?? undefined };
}

function Loaded({ of: subject, touch, close }: { of: Subject; touch: () => void; close: () => void }) {
  const name = subject.name;
  const providers = useQuery({ queryKey: keys.providers, queryFn: () => done(api.GET('/v1/providers')), staleTime: Infinity });
  const current = useQuery({ queryKey: ['connection', name], queryFn: () => read(name!), enabled: name !== undefined, staleTime: 0, gcTime: 0, refetchOnWindowFocus: false });
  const failed = providers.error ?? current.error;
  if (failed) return <Failure error={failed} {...(!(failed instanceof Problem && failed.status === 404) && { retry: () => { void providers.refetch(); if (name) void current.refetch(); } })} />;
  if (providers.isPending || name !== undefined && current.isPending) return <LoadingRows rows={3} />;
  if (name !== undefined) return <FormBody read={current.data} provider={undefined} open={subject.open} touch={touch} close={close} />;
  return <Fresh providers={[...providers.data!.items, otherOAuth2]} touch={touch} close={close} />;
}

/** Whoever connects a provider says first which one it is. */
function Fresh({ providers, touch, close }: { providers: Provider[]; touch: () => void; close: () => void }) {
  const [chosen, setChosen] = useState<string | null>(null);
  const provider = providers.find((p) => p.id === chosen);
  return (
    <>
      <Select label="Identity provider" description="What to enter depends on it" required searchable allowDeselect={false} mb="md" data={providers.map((p) => ({ value: p.id, label: p.title }))} value={chosen} onChange={setChosen} data-autofocus />
      {provider?.notes && <Alert color="blue" variant="light" mb="md" title={`With ${provider.title}`}><List size="sm">{provider.notes.map((n) => <List.Item key={n}>{n}</List.Item>)}</List></Alert>}
      {provider && <FormBody read={undefined} provider={provider} open={undefined} touch={touch} close={close} />}
    </>
  );
}
