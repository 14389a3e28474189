import {
  ActionIcon, Alert, Anchor, AppShell, Avatar, Badge, Box, Burger, Group, Menu, NavLink, ScrollArea, Text, Tooltip, UnstyledButton, VisuallyHidden, useComputedColorScheme, useMantineColorScheme,
} from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconDeviceLaptop, IconExternalLink, IconLogout, IconMoon, IconSun } from '@tabler/icons-react';
import { useEffect, type ReactNode } from 'react';
import { NavLink as RouterLink, useLocation } from 'react-router';
import type { Me } from './client/api';
import { LiveContext, useLive } from './client/live';
import { useAlerts } from './client/queries';
import logo from './gate.svg';
import { placesFor } from './navigation';
import { OpenAlerts } from './parts/OpenAlerts';
import { exactly } from './words/time';

/** The frame of every page: header, menu, and the live connection to the log. */
export function Shell({ me, children }: { me: Me; children: ReactNode }) {
  const [opened, { toggle, close }] = useDisclosure(false);
  const location = useLocation();
  const live = useLive(me.permissions.includes('gatehouse.audit:read'));
  const alerts = useAlerts().data?.items ?? [];
  useEffect(close, [location.pathname, close]);

  return (
    <LiveContext value={live}>
      <a className="skip" href="#main">Skip to the content</a>
      <AppShell header={{ height: 60 }} navbar={{ width: 248, breakpoint: 'sm', collapsed: { mobile: !opened } }} padding={{ base: 'md', md: 'xl' }}>
        <AppShell.Header px="md">
          <Group h="100%" justify="space-between" wrap="nowrap">
            <Group gap="sm" wrap="nowrap" miw={0}>
              <Burger opened={opened} onClick={toggle} hiddenFrom="sm" size="sm" aria-label={opened ? 'Close the menu' : 'Open the menu'} />
              <img src={logo} width={30} height={30} alt="" />
              <Box miw={0}>
                <Text fw={650} lh={1.15} truncate>{me.tenant.display_name || me.tenant.name}</Text>
                <Text size="xs" c="dimmed" lh={1.15}>Gatehouse console</Text>
              </Box>
            </Group>
            <Group gap="xs" wrap="nowrap">
              <SchemeSwitch />
              <PersonMenu me={me} />
            </Group>
          </Group>
        </AppShell.Header>
        <AppShell.Navbar p="sm" aria-label="Console">
          <ScrollArea>
            {placesFor(me).map(({ to, label, icon: Icon }) => (
              <NavLink key={to} component={RouterLink} to={to} label={label} active={location.pathname.startsWith(to)}
                leftSection={<Icon size={18} stroke={1.7} aria-hidden />} rightSection={to === '/nodes' && alerts.length > 0 && <Badge size="sm" circle={alerts.length < 10} color="red" aria-label={`${alerts.length} open alerts`}>{alerts.length}</Badge>}
                variant="light" py="xs" mb={2} bdrs="md" />
            ))}
          </ScrollArea>
        </AppShell.Navbar>
        <AppShell.Main id="main" tabIndex={-1}>
          <Box maw={1180} mx="auto"><OpenAlerts alerts={alerts} /><NewDevice me={me} />{children}</Box>
        </AppShell.Main>
      </AppShell>
    </LiveContext>
  );
}

/** Tells of a device that has signed in as the person, until they have looked at their devices. */
function NewDevice({ me }: { me: Me }) {
  const newest = me.new_devices[0];
  if (!newest) return null;
  return (
    <Alert color="orange" variant="light" mb="lg" icon={<IconDeviceLaptop aria-hidden />} title="A new device signed in as you" role="status">
      {newest.name}, {exactly(newest.first_seen_at)}. If this was not you, <Anchor component={RouterLink} to="/devices" inherit>sign it out</Anchor>.
    </Alert>
  );
}

function SchemeSwitch() {
  const { setColorScheme } = useMantineColorScheme();
  const dark = useComputedColorScheme('light') === 'dark';
  const label = dark ? 'Use light colours' : 'Use dark colours';
  return (
    <Tooltip label={label}>
      <ActionIcon variant="subtle" color="gray" size="lg" aria-label={label} onClick={() => setColorScheme(dark ? 'light' : 'dark')}>
        {dark ? <IconSun size={19} stroke={1.7} /> : <IconMoon size={19} stroke={1.7} />}
      </ActionIcon>
    </Tooltip>
  );
}

function PersonMenu({ me }: { me: Me }) {
  const name = me.name || me.email || me.id;
  return (
    <Menu position="bottom-end" width={240}>
      <Menu.Target>
        <UnstyledButton bdrs="xl">
          <VisuallyHidden>Account of {name}</VisuallyHidden>
          <Avatar name={name} color="gate" size={36} aria-hidden />
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          <Text size="sm" fw={600} c="var(--mantine-color-text)" truncate>{name}</Text>
          {me.email && me.email !== name && <Text size="xs" truncate>{me.email}</Text>}
          {me.roles.length > 0 && <Text size="xs">{me.roles.join(', ')}</Text>}
        </Menu.Label>
        <Menu.Item component={RouterLink} to="/devices" leftSection={<IconDeviceLaptop size={16} aria-hidden />}>My devices</Menu.Item>
        {!me.tenant.platform && (
          <Menu.Item component="a" href="/" leftSection={<IconExternalLink size={16} aria-hidden />}>Back to the app</Menu.Item>
        )}
        <Menu.Divider />
        <Menu.Item component="a" href="/.gatehouse/logout" leftSection={<IconLogout size={16} aria-hidden />}>Sign out</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
