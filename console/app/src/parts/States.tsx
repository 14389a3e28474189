import { Alert, Button, Center, Code, Group, Loader, Paper, Skeleton, Stack, Text, ThemeIcon } from '@mantine/core';
import { IconAlertTriangle, IconInbox, type Icon } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { Problem } from '../client/problem';

/** The whole page waits. */
export function Loading({ what }: { what: string }) {
  return (
    <Center h="60vh" role="status">
      <Stack align="center" gap="sm">
        <Loader />
        <Text size="sm" c="dimmed">Loading {what}…</Text>
      </Stack>
    </Center>
  );
}

/** A list waits: the shape of what will come. */
export function LoadingRows({ rows = 5 }: { rows?: number }) {
  return (
    <Stack gap="xs" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, i) => <Skeleton key={i} height={68} radius="md" />)}
    </Stack>
  );
}

/** Something could not be read or done: what, and what to do now. */
export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  const problem = error instanceof Problem ? error : undefined;
  const title = problem?.status === 403 ? 'You may not do this' : 'That did not work';
  const id = problem?.eventId ?? problem?.requestId;
  return (
    <Alert color="red" variant="light" icon={<IconAlertTriangle aria-hidden />} title={title} role="alert">
      <Stack gap="xs" align="flex-start">
        <Text size="sm">{error instanceof Error ? error.message : 'The gateway cannot be reached. Check your connection and try again.'}</Text>
        {id && <Text size="xs" c="dimmed">{problem?.eventId ? 'Event' : 'Request'} <Code>{id}</Code></Text>}
        {retry && <Button size="xs" variant="light" color="red" onClick={retry}>Try again</Button>}
      </Stack>
    </Alert>
  );
}

/** A list has nothing in it: why, and what would bring something. */
export function Empty({ title, children, icon: Icon = IconInbox, action }: { title: string; children: ReactNode; icon?: Icon; action?: ReactNode }) {
  return (
    <Paper withBorder p="xl" radius="md">
      <Stack align="center" gap="xs" ta="center" py="lg">
        <ThemeIcon size={52} radius="xl" variant="light" color="gray"><Icon size={26} stroke={1.5} aria-hidden /></ThemeIcon>
        <Text fw={600}>{title}</Text>
        <Text size="sm" c="dimmed" maw={420}>{children}</Text>
        {action && <Group mt="xs">{action}</Group>}
      </Stack>
    </Paper>
  );
}
