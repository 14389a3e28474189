import { Badge, Button, Code, Group } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { IconPlugConnected, IconPlus, IconSend } from '@tabler/icons-react';
import { useState } from 'react';
import { api, done } from '../client/api';
import { keys, useCan, usePages, useRefresh } from '../client/queries';
import { useConfirm } from '../parts/Confirm';
import { ConnectionForm, type Subject } from '../parts/connection/ConnectionForm';
import { OIDCKeys } from '../parts/connection/OIDCKeys';
import { SAMLKeys } from '../parts/connection/SAMLKeys';
import { Domains } from '../parts/Domains';
import { Facts, When } from '../parts/Facts';
import { Page } from '../parts/Page';
import { Row, Rows } from '../parts/Rows';
import { MakeSetupLink, SetupLinks } from '../parts/SetupLinks';
import { Empty, Failure, LoadingRows } from '../parts/States';

const types: Record<string, string> = { oidc: 'OpenID Connect', saml: 'SAML', oauth2: 'OAuth 2.0', local: 'Local accounts' };
/** Whether we sign anything towards the provider. */
const hasKeys = (of: { type: string; client_auth?: string }) => of.type === 'saml' || of.client_auth === 'private_key_jwt';

const presets: Record<string, string> = { github: 'GitHub' };

/** How the tenant's people sign in. */
export function Connections() {
  const can = useCan();
  const refresh = useRefresh();
  const [changed, setChanged] = useState<Subject>();
  const [keysOf, setKeysOf] = useState<{ name: string; type: string }>();
  const [linking, setLinking] = useState(false);
  const query = usePages(keys.connections, (cursor) => done(api.GET('/v1/connections', { params: { query: { cursor } } })));
  const remove = useConfirm<unknown>(() => 'The connection is deleted, and everybody who signed in by it is signed out.', () => refresh(keys.connections, keys.domains));
  const test = useMutation({
    mutationFn: (name: string) => done(api.POST('/v1/connections/{name}/test', { params: { path: { name } } })),
    onSuccess: ({ path }) => { window.open(path, '_blank', 'noopener'); },
  });
  const writes = can('gatehouse.connections:write');
  const add = writes && (
    <Group gap="xs">
      <Button variant="light" leftSection={<IconSend size={16} aria-hidden />} onClick={() => setLinking(true)}>Send a link</Button>
      <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => setChanged({ name: undefined })}>Connect a provider</Button>
    </Group>
  );
  return (
    <Page title="Connections" lead="The identity providers that your people sign in by." live actions={add}>
      {remove.outcome}
      {test.isError && <Failure error={test.error} />}
      {query.isPending ? <LoadingRows rows={2} /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length === 0 ? <Empty title="Nobody can sign in yet" icon={IconPlugConnected} action={add}>Connect your organisation's identity provider.</Empty> : (
          <>
            <Rows label="Connections">
              {query.items.map((c) => (
                <Row key={c.id} name={<Group gap={6}><b>{c.spec.display_name || c.name}</b><Badge size="xs" variant="light">{types[c.spec.type] ?? c.spec.type}</Badge>{c.spec.enabled === false && <Badge size="xs" color="gray">Off</Badge>}</Group>}
                  facts={<Facts of={[
                    !!c.spec.display_name && ['Name', <Code>{c.name}</Code>],
                    c.spec.type === 'oidc' && ['Issuer', <Code>{c.spec.issuer}</Code>],
                    c.spec.type === 'oauth2' && ['Provider', c.spec.authorization_url ? <Code>{c.spec.authorization_url}</Code> : presets[c.spec.preset ?? ''] ?? c.spec.preset],
                    !!c.spec.groups_from?.length && ['Groups from', <Code>{c.spec.groups_from.map((g) => g.url).join(' ')}</Code>],
                    c.spec.pkce === 'none' && ['PKCE', 'off'],
                    (c.spec.type === 'oidc' || c.spec.type === 'oauth2') && ['Client id', <Code>{c.spec.client_id}</Code>],
                    (c.spec.type === 'oidc' || c.spec.type === 'oauth2') && ['Client secret', c.has_client_secret ? 'set' : 'none'],
                    !!c.spec.max_age && ['Signed in there at most', `${c.spec.max_age} before`],
                    !!c.spec.acr_values?.length && ['Class of sign-in (acr)', <Code>{c.spec.acr_values.join(' ')}</Code>],
                    c.spec.type === 'saml' && ['Metadata', c.spec.idp_metadata?.url ? <Code>{c.spec.idp_metadata.url}</Code> : 'given as a file'],
                    !!c.spec.allowed_domains?.length && ['For the domains', c.spec.allowed_domains.join(', ')],
                    !!c.spec.allowed_groups?.length && ['For the groups', c.spec.allowed_groups.join(', ')],
                    c.spec.type !== 'local' && ['Security events', c.spec.signals ? <><Code>{c.spec.signals.issuer}</Code>{c.spec.signals.poll ? ', fetched' : ', pushed'}</> : 'none are heard'],
                    c.spec.type !== 'local' && ['New people', c.spec.unknown_people === 'refuse' ? 'are refused' : c.spec.default_role ? `become ${c.spec.default_role}` : 'get no role'],
                    ['Changed', <When at={c.updated_at} />],
                  ]} />}
                  actions={(writes || hasKeys(c.spec)) && (
                    <Group gap="xs">
                      {hasKeys(c.spec) && <Button size="xs" variant="light" aria-label={`Keys of ${c.name}`} onClick={() => setKeysOf({ name: c.name, type: c.spec.type })}>Keys</Button>}
                      {writes && c.spec.type !== 'local' && <Button size="xs" variant="light" aria-label={`Test ${c.name}`} loading={test.isPending && test.variables === c.name} onClick={() => test.mutate(c.name)}>Test</Button>}
                      {writes && <Button size="xs" variant="light" aria-label={`Change ${c.name}`} onClick={() => setChanged({ name: c.name })}>Change</Button>}
                      {writes && c.spec.type !== 'local' && <Button size="xs" variant="light" aria-label={`Security events for ${c.name}`} onClick={() => setChanged({ name: c.name, open: 'signals' })}>Security events</Button>}
                      {writes && can('gatehouse.connections:delete') && c.spec.type !== 'local' && (
                        <Button size="xs" variant="light" color="red" aria-label={`Delete ${c.name}`} onClick={() => remove.ask({
                          title: `Delete ${c.spec.display_name || c.name}?`, verb: 'Delete', text: 'Nobody signs in by it any more, and everybody who did is signed out at once. People stay, but know no way in by it.',
                          act: () => done(api.DELETE('/v1/connections/{name}', { params: { path: { name: c.name } } })),
                        })}>Delete</Button>
                      )}
                    </Group>
                  )} />
              ))}
            </Rows>
            <Domains connections={query.items} />
          </>
        )}
      <SetupLinks />
      {remove.dialog}
      <SAMLKeys of={keysOf?.type === 'saml' ? keysOf.name : undefined} close={() => setKeysOf(undefined)} />
      <OIDCKeys of={keysOf?.type === 'oidc' ? keysOf.name : undefined} close={() => setKeysOf(undefined)} />
      <ConnectionForm of={changed} close={() => setChanged(undefined)} />
      <MakeSetupLink opened={linking} close={() => setLinking(false)} />
    </Page>
  );
}
