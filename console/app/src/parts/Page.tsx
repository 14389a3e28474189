import { Badge, Box, Group, Stack, Text, Title, Tooltip } from '@mantine/core';
import { useEffect, type ReactNode } from 'react';
import { useLiveState } from '../client/live';

interface Props {
  title: string;
  lead: string;
  actions?: ReactNode;
  /** Whether the page changes by itself when something happens. */
  live?: boolean;
  children: ReactNode;
}

/** One page: its heading, what it is for, what can be done, and the content. */
export function Page({ title, lead, actions, live, children }: Props) {
  useEffect(() => {
    document.title = `${title} · Gatehouse console`;
  }, [title]);
  return (
    <Stack gap="lg">
      <Group justify="space-between" align="flex-end" gap="sm">
        <Box>
          <Group gap="sm">
            <Title order={1} fz={{ base: 24, sm: 28 }}>{title}</Title>
            {live && <LiveBadge />}
          </Group>
          <Text c="dimmed" size="sm" mt={4} maw={640}>{lead}</Text>
        </Box>
        {actions && <Group gap="xs">{actions}</Group>}
      </Group>
      {children}
    </Stack>
  );
}

function LiveBadge() {
  const state = useLiveState();
  if (state === 'off') return null;
  const live = state === 'live';
  return (
    <Tooltip label={live ? 'Changes show here by themselves' : 'Connecting to the log again'}>
      <Badge variant="dot" color={live ? 'teal' : 'yellow'} size="sm" role="status" tt="none">{live ? 'Live' : 'Reconnecting'}</Badge>
    </Tooltip>
  );
}
