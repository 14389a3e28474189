import { Badge, Button, Code, Group, Modal, Stack, Text } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { api, done, type OIDCState } from '../../client/api';
import { useCan } from '../../client/queries';
import { canPrepare, clientOverlapMeans, clientSignNowMeans, clientTakeBackMeans, standingOfClientKey } from '../../words/keys';
import { useConfirm } from '../Confirm';
import { Facts, When } from '../Facts';
import { Row, Rows } from '../Rows';
import { Failure, LoadingRows } from '../States';
import { Prepare } from './Prepare';

const whole = { whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' } as const; // nothing to move sideways

/** The keys by which an OpenID provider knows us (private_key_jwt). */
export function OIDCKeys({ of: name, close }: { of: string | undefined; close: () => void }) {
  return (
    <Modal opened={name !== undefined} onClose={close} size="xl" title={`Keys of ${name ?? ''}`} closeButtonProps={{ 'aria-label': 'Close' }} styles={{ title: { fontWeight: 650 } }}>
      {name !== undefined && <Loaded name={name} />}
    </Modal>
  );
}

function Loaded({ name }: { name: string }) {
  const query = useQuery({ queryKey: ['oidc', name], queryFn: () => done(api.GET('/v1/connections/{name}/oidc', { params: { path: { name } } })), staleTime: 0, gcTime: 0 });
  if (query.isPending) return <LoadingRows rows={2} />;
  if (query.isError) return <Failure error={query.error} retry={() => void query.refetch()} />;
  return <Shown name={name} state={query.data} />;
}

function Shown({ name, state }: { name: string; state: OIDCState }) {
  const can = useCan();
  const client = useQueryClient();
  const path = { params: { path: { name } } };
  const change = useConfirm<{ said: string; state: OIDCState }>((result) => {
    client.setQueryData(['oidc', name], result.state);
    return result.said;
  }, () => Promise.resolve());
  return (
    <Stack>
      <Text size="sm">The provider fetches our keys from <Code style={{ overflowWrap: 'anywhere' }}>{`${window.location.origin}/.gatehouse/oidc/${name}/jwks.json`}</Code>. One that takes no address is given them by hand.</Text>
      {change.outcome}
      <Rows label="Our keys">
        {state.keys.map((key) => {
          const standing = standingOfClientKey(key);
          return (
            <Row key={key.kid} name={<Badge variant="dot" color={standing.color}>{standing.word}</Badge>}
              facts={<>
                <Facts of={[
                  ['Key id', <Code>{key.kid}</Code>], [key.state === 'prepared' ? 'Signs' : 'Signs since', <When at={key.signs_at} />],
                  key.state !== 'retired' && ['As a JWK', <Code block style={whole}>{JSON.stringify(key.jwk)}</Code>], key.state !== 'retired' && ['In PEM', <Code block style={whole}>{key.public_key}</Code>],
                ]} />
                <Text size="sm" c="dimmed">{standing.means}</Text>
              </>}
              actions={key.state === 'prepared' && can('gatehouse.connections:write') && (
                <Group gap="xs">
                  <Button size="xs" variant="light" onClick={() => change.ask({
                    title: 'Sign with the next key now?', verb: 'Sign with it now', text: clientSignNowMeans,
                    act: async () => ({ said: 'The new key signs.', state: await done(api.POST('/v1/connections/{name}/oidc/keys/next/sign', path)) }),
                  })}>Sign with it now</Button>
                  <Button size="xs" variant="light" color="red" onClick={() => change.ask({
                    title: 'Take the next key back?', verb: 'Take it back', text: clientTakeBackMeans,
                    act: async () => ({ said: 'The next key is gone. The one that signs goes on.', state: await done(api.DELETE('/v1/connections/{name}/oidc/keys/next', path)) }),
                  })}>Take it back</Button>
                </Group>
              )} />
          );
        })}
      </Rows>
      {change.dialog}
      {can('gatehouse.connections:write') && canPrepare(state.keys) && (
        <Prepare first={1} most={30} means={clientOverlapMeans}
          act={(days) => done(api.POST('/v1/connections/{name}/oidc/keys', { params: { path: { name } }, body: { overlap_days: days } }))}
          then={(next) => client.setQueryData(['oidc', name], next)} />
      )}
    </Stack>
  );
}
