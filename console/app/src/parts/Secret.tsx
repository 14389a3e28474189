import { Alert, Button, Code, CopyButton, Group, Stack, Text } from '@mantine/core';
import { IconCopy } from '@tabler/icons-react';
import type { ReactNode } from 'react';

/** A secret that is shown this once; children say what it is for. */
export function Secret({ secret, close, children }: { secret: string; close: () => void; children?: ReactNode }) {
  return (
    <Stack>
      <Alert color="yellow" title="Copy it now">It is shown this once and cannot be read again.</Alert>
      {children && <Text size="sm">{children}</Text>}
      <Code block tabIndex={0}>{secret}</Code>
      <Group justify="flex-end" gap="xs">
        <CopyButton value={secret}>
          {({ copied, copy }) => <Button variant="light" leftSection={<IconCopy size={16} aria-hidden />} onClick={copy}>{copied ? 'Copied' : 'Copy'}</Button>}
        </CopyButton>
        <Button onClick={close}>Done</Button>
      </Group>
    </Stack>
  );
}
