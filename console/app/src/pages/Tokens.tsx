import { Badge, Button, Code, Group, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconKey, IconPlus } from '@tabler/icons-react';
import { useState } from 'react';
import { api, done, type Token } from '../client/api';
import { keys, useCan, useMe, usePages, useRefresh } from '../client/queries';
import { useConfirm } from '../parts/Confirm';
import { Facts, When } from '../parts/Facts';
import { Page } from '../parts/Page';
import { Row, Rows } from '../parts/Rows';
import { Empty, Failure, LoadingRows } from '../parts/States';
import { accessOf, standingOf } from '../words/tokens';
import { MakeToken, RotateToken } from './TokenForms';

const scopes: Record<string, string> = { api: 'Admin API', scim: 'SCIM' };

/** What programs use to call the admin API and to push people. */
export function Tokens() {
  const can = useCan();
  const refresh = useRefresh();
  const [adding, { open, close }] = useDisclosure(false);
  const [rotating, setRotating] = useState<Token>();
  const query = usePages(keys.tokens, (cursor) => done(api.GET('/v1/tokens', { params: { query: { cursor } } })));
  const revoke = useConfirm<unknown>(() => 'The token is revoked and refused from now on.', () => refresh(keys.tokens));
  const take = useConfirm<unknown>(() => 'The token is yours, and ends with you. If its maker still knows the secret, make a new one instead.', () => refresh(keys.tokens));
  return (
    <Page title="Tokens" lead="Tokens let programs use the admin API, and let your identity provider push people over SCIM." live
      actions={can('gatehouse.tokens:write') && <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={open}>Make a token</Button>}>
      {revoke.outcome}
      {take.outcome}
      {query.isPending ? <LoadingRows rows={3} /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length === 0 ? <Empty title="No tokens" icon={IconKey}>Make one for a program, or for SCIM provisioning by your identity provider.</Empty> : (
          <Rows label="Tokens">
            {query.items.map((t) => (
              <TokenRow key={t.id} token={t} all={query.items} rotate={() => setRotating(t)}
                revoke={() => revoke.ask({
                  title: `Revoke ${t.name}?`, verb: 'Revoke', text: 'Programs that use it are refused at once. This cannot be undone.',
                  act: () => done(api.DELETE('/v1/tokens/{id}', { params: { path: { id: t.id } } })),
                })}
                takeOver={() => take.ask({
                  title: `Take over ${t.name}?`, verb: 'Take over', text: 'It ends when you are deactivated, and no more when its present owner is.',
                  act: () => done(api.POST('/v1/tokens/{id}/take-over', { params: { path: { id: t.id } } })),
                })} />
            ))}
          </Rows>
        )}
      {revoke.dialog}
      {take.dialog}
      <MakeToken opened={adding} close={close} />
      <RotateToken token={rotating} close={() => setRotating(undefined)} />
    </Page>
  );
}

function TokenRow({ token: t, all, rotate, revoke, takeOver }: { token: Token; all: Token[]; rotate: () => void; revoke: () => void; takeOver: () => void }) {
  const can = useCan();
  const me = useMe();
  const standing = standingOf(t, all);
  const good = standing?.color !== 'gray';
  const write = good && can('gatehouse.tokens:write');
  const mine = t.owner !== undefined && t.owner === me.data?.id;
  return (
    <Row name={(
      <>
        <Group gap={6}>
          <b>{t.name}</b>
          <Badge size="xs" variant="light">{scopes[t.scope] ?? t.scope}{t.kind === 'client' && ' client'}</Badge>
          {standing && <Badge size="xs" color={standing.color} variant="light" autoContrast>{standing.label}</Badge>}
        </Group>
        {standing?.advice && <Text size="sm">{standing.advice}</Text>}
      </>
    )}
      facts={<Facts of={[
        t.role ? ['Role', t.role] : undefined,
        t.client_id ? ['Client id', <Code key="id">{t.client_id}</Code>] : undefined,
        t.scope === 'scim' && ['Connection', t.connection ?? t.connection_id ?? 'any'],
        t.scope === 'scim' && ['May do', accessOf(t)],
        t.scope === 'api' && ['Ends with', t.owner ? mine ? 'you' : 'its owner' : 'nobody'],
        ['Made', <When key="made" at={t.created_at} />],
        ['Last used', t.last_used_at ? <When key="used" at={t.last_used_at} /> : 'never'],
        ['Expires', t.expires_at && <When key="expires" at={t.expires_at} />],
      ]} />}
      actions={good && (
        <Group gap="xs">
          {write && t.scope === 'scim' && !t.successor && <Button size="xs" variant="light" aria-label={`Rotate ${t.name}`} onClick={rotate}>Rotate</Button>}
          {write && t.scope === 'api' && t.owner && !mine && <Button size="xs" variant="light" aria-label={`Take over ${t.name}`} onClick={takeOver}>Take over</Button>}
          {can('gatehouse.tokens:delete') && <Button size="xs" variant="light" color="red" aria-label={`Revoke ${t.name}`} onClick={revoke}>Revoke</Button>}
        </Group>
      )} />
  );
}
