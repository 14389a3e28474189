import { Alert, Badge, Button, Code, Group, Modal, Stack, Text, Title } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { api, done, type SAMLState } from '../../client/api';
import { useCan } from '../../client/queries';
import { canPrepare, ending, overlapMeans, signNowMeans, standingOfKey, takeBackMeans } from '../../words/keys';
import { useConfirm } from '../Confirm';
import { Facts, When } from '../Facts';
import { Row, Rows } from '../Rows';
import { Failure, LoadingRows } from '../States';
import { Prepare } from './Prepare';

/** The keys and certificates of both sides of a SAML connection. */
export function SAMLKeys({ of: name, close }: { of: string | undefined; close: () => void }) {
  return (
    <Modal opened={name !== undefined} onClose={close} size="xl" title={`Keys of ${name ?? ''}`} closeButtonProps={{ 'aria-label': 'Close' }} styles={{ title: { fontWeight: 650 } }}>
      {name !== undefined && <Loaded name={name} />}
    </Modal>
  );
}

function Loaded({ name }: { name: string }) {
  const query = useQuery({ queryKey: ['saml', name], queryFn: () => done(api.GET('/v1/connections/{name}/saml', { params: { path: { name } } })), staleTime: 0, gcTime: 0 });
  if (query.isPending) return <LoadingRows rows={2} />;
  if (query.isError) return <Failure error={query.error} retry={() => void query.refetch()} />;
  return <Shown name={name} state={query.data} />;
}

function Shown({ name, state }: { name: string; state: SAMLState }) {
  const can = useCan();
  const client = useQueryClient();
  const path = { params: { path: { name } } };
  const change = useConfirm<{ said: string; state: SAMLState }>((result) => {
    client.setQueryData(['saml', name], result.state);
    return result.said;
  }, () => Promise.resolve());
  return (
    <Stack>
      <Title order={3} size="h5">Ours</Title>
      {change.outcome}
      <Rows label="Our keys">
        {state.keys.map((key) => {
          const standing = standingOfKey(key);
          return (
            <Row key={key.sha256} name={<Badge variant="dot" color={standing.color}>{standing.word}</Badge>}
              facts={<>
                <Facts of={[['Certificate (SHA-256)', <Code>{key.sha256}</Code>], [key.state === 'prepared' ? 'Signs' : 'Signs since', <When at={key.signs_at} />], ['Ends', <Ends at={key.not_after} />]]} />
                <Text size="sm" c="dimmed">{standing.means}</Text>
              </>}
              actions={key.state === 'prepared' && can('gatehouse.connections:write') && (
                <Group gap="xs">
                  <Button size="xs" variant="light" onClick={() => change.ask({
                    title: 'Sign with the next key now?', verb: 'Sign with it now', text: signNowMeans,
                    act: async () => ({ said: 'The new key signs.', state: await done(api.POST('/v1/connections/{name}/saml/keys/next/sign', path)) }),
                  })}>Sign with it now</Button>
                  <Button size="xs" variant="light" color="red" onClick={() => change.ask({
                    title: 'Take the next key back?', verb: 'Take it back', text: takeBackMeans,
                    act: async () => ({ said: 'The next key is gone. The one that signs goes on.', state: await done(api.DELETE('/v1/connections/{name}/saml/keys/next', path)) }),
                  })}>Take it back</Button>
                </Group>
              )} />
          );
        })}
      </Rows>
      <Text size="sm">Our metadata, which shows all that the provider needs: <Code style={{ overflowWrap: 'anywhere' }}>{`${window.location.origin}/.gatehouse/saml/${name}/metadata`}</Code></Text>
      {can('gatehouse.connections:write') && canPrepare(state.keys) && (
        <Prepare first={30} most={365} means={overlapMeans}
          act={(days) => done(api.POST('/v1/connections/{name}/saml/keys', { params: { path: { name } }, body: { overlap_days: days } }))}
          then={(next) => client.setQueryData(['saml', name], next)} />
      )}
      {change.dialog}
      <Title order={3} size="h5">The provider's</Title>
      {state.problem && <Alert color="red" variant="light" title="Its metadata cannot be used">{state.problem}</Alert>}
      {state.provider && (
        <>
          <Facts of={[['Entity id', <Code>{state.provider.entity_id}</Code>], !!state.provider.valid_until && ['Metadata ends', <Ends at={state.provider.valid_until} />]]} />
          <Rows label="Certificates of the provider">
            {[...state.provider.certificates, ...(state.provider.metadata_certificate ? [state.provider.metadata_certificate] : [])].map((c, i) => (
              <Row key={`${i} ${c.sha256}`} name={i < state.provider!.certificates.length ? 'May sign' : 'Has signed the metadata'}
                facts={<Facts of={[['Certificate (SHA-256)', <Code>{c.sha256}</Code>], ['Ends', <Ends at={c.not_after} />]]} />} />
            ))}
          </Rows>
        </>
      )}
    </Stack>
  );
}

function Ends({ at }: { at: string }) {
  const state = ending(at);
  return <Group gap={6}><When at={at} />{state && <Badge size="xs" color={state === 'ended' ? 'red' : 'yellow'}>{state === 'ended' ? 'Ended' : 'Soon'}</Badge>}</Group>;
}
