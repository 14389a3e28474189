import { Anchor, Badge, Group, Stack } from '@mantine/core';
import { IconBuildingCommunity } from '@tabler/icons-react';
import { api, done } from '../client/api';
import { keys, usePages } from '../client/queries';
import { Facts, When } from '../parts/Facts';
import { Page } from '../parts/Page';
import { Row, Rows } from '../parts/Rows';
import { Empty, Failure, LoadingRows } from '../parts/States';

/** The customer organisations, for operators. */
export function Tenants() {
  const query = usePages(keys.tenants, (cursor) => done(api.GET('/v1/platform/tenants', { params: { query: { cursor } } })));
  const port = window.location.port ? `:${window.location.port}` : '';
  return (
    <Page title="Tenants" lead="The customer organisations behind this gateway." live>
      {query.isPending ? <LoadingRows /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length === 0 ? <Empty title="No tenants yet" icon={IconBuildingCommunity}>Make the first with gatehouse tenant create or gatehouse apply.</Empty> : (
          <Rows label="Tenants">
            {query.items.map((t) => (
              <Row key={t.id} name={<Stack gap={0}><Group gap={6}><b>{t.display_name || t.name}</b>{t.status !== 'active' && <Badge size="xs" color="red" variant="light">{t.status}</Badge>}</Group></Stack>}
                facts={<Facts of={[
                  ['Name', t.name],
                  ['Hosts', <Group gap="xs">{t.hosts.map((h) => <Anchor key={h} href={`https://${h}${port}/`} size="sm">{h}</Anchor>)}</Group>],
                  ['Since', <When at={t.created_at} />],
                ]} />} />
            ))}
          </Rows>
        )}
    </Page>
  );
}
