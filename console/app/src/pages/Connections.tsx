import { Badge, Button, Code, Group } from '@mantine/core';
import { IconPlugConnected } from '@tabler/icons-react';
import { useState } from 'react';
import { api, done, type Connection } from '../client/api';
import { keys, useCan, usePages } from '../client/queries';
import { Facts, When } from '../parts/Facts';
import { Page } from '../parts/Page';
import { Row, Rows } from '../parts/Rows';
import { SignalsForm } from '../parts/Signals';
import { Empty, Failure, LoadingRows } from '../parts/States';

const types: Record<string, string> = { oidc: 'OpenID Connect', saml: 'SAML', oauth2: 'OAuth 2.0' };
const presets: Record<string, string> = { github: 'GitHub' };

/** How the tenant's people sign in. */
export function Connections() {
  const can = useCan();
  const [heard, setHeard] = useState<Connection>();
  const query = usePages(keys.connections, (cursor) => done(api.GET('/v1/connections', { params: { query: { cursor } } })));
  return (
    <Page title="Connections" lead="The identity providers that your people sign in by. Set them up with gatehouse apply or the admin API." live>
      {query.isPending ? <LoadingRows rows={2} /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length === 0 ? <Empty title="Nobody can sign in yet" icon={IconPlugConnected}>Add a connection with gatehouse apply or the admin API.</Empty> : (
          <Rows label="Connections">
            {query.items.map((c) => (
              <Row key={c.id} name={<Group gap={6}><b>{c.name}</b><Badge size="xs" variant="light">{types[c.spec.type] ?? c.spec.type}</Badge>{c.spec.enabled === false && <Badge size="xs" color="gray">Off</Badge>}</Group>}
                facts={<Facts of={[
                  c.spec.type === 'oidc' && ['Issuer', <Code>{c.spec.issuer}</Code>],
                  c.spec.type === 'oauth2' && ['Provider', c.spec.authorization_url ? <Code>{c.spec.authorization_url}</Code> : presets[c.spec.preset ?? ''] ?? c.spec.preset],
                  !!c.spec.groups_from?.length && ['Groups from', <Code>{c.spec.groups_from.map((g) => g.url).join(' ')}</Code>],
                  c.spec.pkce === 'none' && ['PKCE', 'off'],
                  c.spec.type !== 'saml' && ['Client id', <Code>{c.spec.client_id}</Code>],
                  c.spec.type !== 'saml' && ['Client secret', c.has_client_secret ? 'set' : 'none'],
                  !!c.spec.acr_values?.length && ['Class of sign-in (acr)', <Code>{c.spec.acr_values.join(' ')}</Code>],
                  c.spec.type === 'saml' && ['Metadata', c.spec.idp_metadata?.url ? <Code>{c.spec.idp_metadata.url}</Code> : 'given as a file'],
                  ['Security events', c.spec.signals ? <><Code>{c.spec.signals.issuer}</Code>{c.spec.signals.poll ? ', fetched' : ', pushed'}</> : 'none are heard'],
                  ['New people become', c.spec.default_role || 'nobody in particular'],
                  ['Changed', <When at={c.updated_at} />],
                ]} />}
                actions={can('gatehouse.connections:write') && (
                  <Button size="xs" variant="light" aria-label={`Security events for ${c.name}`} onClick={() => setHeard(c)}>Security events</Button>
                )} />
            ))}
          </Rows>
        )}
      <SignalsForm of={heard} close={() => setHeard(undefined)} />
    </Page>
  );
}
