import { Badge, Group, Stack, Text } from '@mantine/core';
import { IconServer2 } from '@tabler/icons-react';
import type { GatewayNode } from '../client/api';
import { useNodes } from '../client/queries';
import { Facts, When } from '../parts/Facts';
import { Page } from '../parts/Page';
import { Row, Rows } from '../parts/Rows';
import { Empty, Failure, LoadingRows } from '../parts/States';
import { standingOf } from '../words/nodes';

/** The gateway's nodes, for operators. */
export function Nodes() {
  const query = useNodes();
  return (
    <Page title="Nodes" lead="The gateways that serve together, as far as the one that answers you knows." live>
      {query.isPending ? <LoadingRows rows={3} /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.data.items.length === 0 ? <Empty title="No nodes" icon={IconServer2}>Nobody tells of itself, not even the node that answers.</Empty> : (
          <Rows label="Nodes">
            {query.data.items.map((n) => <NodeRow key={n.name} node={n} />)}
          </Rows>
        )}
    </Page>
  );
}

function NodeRow({ node: n }: { node: GatewayNode }) {
  const standing = standingOf(n);
  return (
    <Row testId={`node-${n.name}`}
      name={(
        <Stack gap={4}>
          <Group gap={6}>
            <b>{n.name}</b>
            <Badge size="sm" color={standing.color} variant="dot" tt="none">{standing.word}</Badge>
            {n.heard === 'self' && <Badge size="sm" color="gray" variant="light">Answers you</Badge>}
          </Group>
          <Text size="sm" c="dimmed">{standing.means}</Text>
        </Stack>
      )}
      facts={<Facts of={[
        n.redis_reached !== undefined && ['Redis', reached(n.redis_reached)],
        n.sql_reached !== undefined && ['Database', reached(n.sql_reached)],
        n.epoch !== undefined && ['Epoch', n.epoch],
        ['Gaps', n.gaps],
        n.tenants_unready > 0 && ['Tenants not served', n.tenants_unready],
        n.alerts.length > 0 && ['Alerts', n.alerts.join(', ')],
        n.version !== undefined && ['Version', n.version],
        n.started_at !== undefined && ['Started', <When at={n.started_at} />],
        n.seen_at !== undefined && n.heard !== 'self' && ['Last heard', <When at={n.seen_at} />],
      ]} />} />
  );
}

const reached = (is: boolean) => (is ? 'Reached' : 'Not reached');
