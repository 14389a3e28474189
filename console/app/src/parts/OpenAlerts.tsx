import { Alert, Stack, Text } from '@mantine/core';
import { IconAlertTriangle } from '@tabler/icons-react';
import type { Alert as OpenAlert } from '../client/api';
import { When } from './Facts';

/** How many are shown; the rest is counted. */
const shown = 4;

/** What must be seen to now, above every page. */
export function OpenAlerts({ alerts }: { alerts: OpenAlert[] }) {
  if (alerts.length === 0) return null;
  const worst = [...alerts].sort((a, b) => Number(b.level === 'critical') - Number(a.level === 'critical'));
  return (
    <Stack gap="xs" mb="lg" role="status" aria-label="Open alerts">
      {worst.slice(0, shown).map((a) => (
        <Alert key={[a.reason, a.node, a.about, a.tenant].join(' ')} data-testid={`alert-${a.reason}`} variant="light"
          color={a.level === 'critical' ? 'red' : 'orange'} icon={<IconAlertTriangle aria-hidden />} title={a.means}>
          <Text size="sm">{a.advice}</Text>
          <Text size="xs" c="dimmed" mt={4}>
            {[a.tenant && `Tenant ${a.tenant}`, a.about && `Node ${a.about}`, a.node && `told by ${a.node}`, a.reason].filter(Boolean).join(' · ')} · since <When at={a.since} />
          </Text>
        </Alert>
      ))}
      {worst.length > shown && <Text size="sm" c="dimmed">And {worst.length - shown} more.</Text>}
    </Stack>
  );
}
