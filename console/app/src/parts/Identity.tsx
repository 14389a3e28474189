import { Avatar, Box, Group, Text, ThemeIcon } from '@mantine/core';
import { IconDeviceDesktop, IconDeviceMobile, IconDeviceTablet, IconRobot, IconDeviceUnknown, IconTerminal2 } from '@tabler/icons-react';
import type { ReactNode } from 'react';

const icons = { desktop: IconDeviceDesktop, phone: IconDeviceMobile, tablet: IconDeviceTablet, bot: IconRobot, cli: IconTerminal2 };

/** A person: initials, name, email. */
export function Person({ name, email, id, badge }: { name?: string; email?: string; id: string; badge?: ReactNode }) {
  const shown = name || email || id;
  return (
    <Group gap="sm" wrap="nowrap">
      <Avatar name={shown} color="initials" allowedInitialsColors={['blue', 'indigo', 'violet', 'grape', 'gate']} size={38} aria-hidden />
      <Box miw={0}>
        <Group gap={6}>
          <Text fw={600} size="sm" truncate>{shown}</Text>
          {badge}
        </Group>
        {email && email !== shown && <Text size="xs" c="dimmed" truncate>{email}</Text>}
      </Box>
    </Group>
  );
}

/** A device in words: "Chrome on Windows", or what its owner calls it. */
export function deviceWords(d: { name?: string; os?: string; browser?: string; kind?: string }): string {
  if (d.name) return d.name;
  if (d.browser && d.os) return `${d.browser} on ${d.os}`;
  return d.browser || d.os || 'Unknown device';
}

/** What a device is, in words. */
export function kindWords(kind: string | undefined): string | undefined {
  return kind === 'cli' ? 'command line' : kind;
}

/** A device: its picture and words. */
export function DeviceName({ device, badge }: { device: { name?: string; os?: string; browser?: string; kind?: string }; badge?: ReactNode }) {
  const model = device.name && deviceWords({ ...device, name: '' });
  const Icon = icons[device.kind as keyof typeof icons] ?? IconDeviceUnknown;
  return (
    <Group gap="sm" wrap="nowrap">
      <ThemeIcon variant="light" color="gray" size={38} radius="md"><Icon size={20} stroke={1.6} aria-hidden /></ThemeIcon>
      <Box miw={0}>
        <Group gap={6}>
          <Text fw={600} size="sm" truncate>{deviceWords(device)}</Text>
          {badge}
        </Group>
        {model && model !== device.name && <Text size="xs" c="dimmed" truncate>{model}</Text>}
      </Box>
    </Group>
  );
}
