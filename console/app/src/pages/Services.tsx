import { Badge, Button, Code, Group } from '@mantine/core';
import { IconRobot } from '@tabler/icons-react';
import { api, done, type Service } from '../client/api';
import { keys, useCan, usePages, useRefresh } from '../client/queries';
import { useConfirm } from '../parts/Confirm';
import { Facts, When } from '../parts/Facts';
import { Page } from '../parts/Page';
import { Row, Rows } from '../parts/Rows';
import { Empty, Failure, LoadingRows } from '../parts/States';

type Credential = NonNullable<Service['spec']['credentials']>[number];

/** What a service is recognised by, for people. */
function Recognised({ by }: { by: Credential }) {
  if (by.jwt) return <>a signed token of <Code>{by.jwt.connection ?? by.jwt.issuer}</Code> for <Code>{by.jwt.audience}</Code></>;
  if (by.introspection) return <>a token that <Code>{by.introspection.endpoint}</Code> knows</>;
  return by.certificate?.certificate ? <>one client certificate</> : <>a client certificate for <Code>{by.certificate?.san_uri ?? by.certificate?.san_dns}</Code></>;
}

/** Turns a service on or off as it is now: one that somebody changes meanwhile stays as it is. */
async function turn(name: string, enabled: boolean): Promise<unknown> {
  const params = { path: { name } };
  const asked = api.GET('/v1/services/{name}', { params });
  const now = await done(asked);
  const version = (await asked).response.headers.get('ETag') ?? '';
  return done(api.PUT('/v1/services/{name}', { params: { ...params, header: { 'If-Match': version } }, body: { ...now.spec, enabled } }));
}

/** The programs that call the app as principals of their own. */
export function Services() {
  const can = useCan();
  const refresh = useRefresh();
  const query = usePages(keys.services, (cursor) => done(api.GET('/v1/services', { params: { query: { cursor } } })));
  const change = useConfirm<unknown>(() => 'It is done, and holds from now on.', () => refresh(keys.services));
  return (
    <Page title="Services" lead="Programs that call the app with a token of an authorization server or a client certificate. Set them up with gatehouse apply or the admin API." live>
      {change.outcome}
      {query.isPending ? <LoadingRows rows={2} /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length === 0 ? <Empty title="No services" icon={IconRobot}>Add one with gatehouse apply or the admin API.</Empty> : (
          <Rows label="Services">
            {query.items.map((s) => (
              <Row key={s.id} name={<Group gap={6}><b>{s.spec.display_name || s.name}</b><Badge size="xs" variant="light">{s.spec.role}</Badge>{s.spec.enabled === false && <Badge size="xs" color="gray">Off</Badge>}</Group>}
                facts={<Facts of={[
                  ['Name', <Code>{s.name}</Code>],
                  ['Recognised by', s.spec.credentials?.length ? s.spec.credentials.map((c, i) => <div key={i}><Recognised by={c} /></div>) : 'nothing yet'],
                  ['Changed', <When at={s.updated_at} />],
                ]} />}
                actions={<Group gap="xs">
                  {can('gatehouse.services:write') && (s.spec.enabled === false ? (
                    <Button size="xs" variant="light" aria-label={`Turn ${s.name} on`} onClick={() => change.ask({
                      title: `Turn ${s.name} on?`, verb: 'Turn on', text: `It is let in again, with the role ${s.spec.role}.`, act: () => turn(s.name, true),
                    })}>Turn on</Button>
                  ) : (
                    <Button size="xs" variant="light" color="red" aria-label={`Turn ${s.name} off`} onClick={() => change.ask({
                      title: `Turn ${s.name} off?`, verb: 'Turn off', text: 'What it has open ends, and it is refused from now on.', act: () => turn(s.name, false),
                    })}>Turn off</Button>
                  ))}
                  {can('gatehouse.services:delete') && (
                    <Button size="xs" variant="light" color="red" aria-label={`Delete ${s.name}`} onClick={() => change.ask({
                      title: `Delete ${s.name}?`, verb: 'Delete', text: 'What it has open ends, and it is refused from now on. This cannot be undone.',
                      act: () => done(api.DELETE('/v1/services/{name}', { params: { path: { name: s.name } } })),
                    })}>Delete</Button>
                  )}
                </Group>} />
            ))}
          </Rows>
        )}
      {change.dialog}
    </Page>
  );
}
