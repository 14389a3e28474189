import { ActionIcon, Anchor, Code, CopyButton, Group, Stack, Text, Title } from '@mantine/core';
import { IconCheck, IconCopy } from '@tabler/icons-react';
import type { ConnectionSpec } from '../../client/api';

/** What the provider's admin enters there, to be copied. */
export function Addresses({ spec, name }: { spec: ConnectionSpec; name: string }) {
  const at = `${window.location.origin}/.gatehouse/${spec.type}/${name || 'NAME'}`;
  return (
    <Stack gap="xs">
      <Title order={3} size="h5">What the provider needs of us</Title>
      {addresses(spec, at).map(([label, value]) => <Copied key={label} label={label} value={value} />)}
      {spec.type === 'saml' && <Text size="xs">Some providers read <Anchor href={`${at}/metadata`} underline="always" target="_blank" rel="noreferrer">our metadata</Anchor> once this is saved, and need nothing else.</Text>}
      {spec.client_auth === 'private_key_jwt' && <Text size="xs">Our keys change by themselves: let the provider read them from their address, and do not paste them.</Text>}
    </Stack>
  );
}

function addresses(spec: ConnectionSpec, at: string): [string, string][] {
  switch (spec.type) {
    case 'saml':
      return [['Entity id, and address of our metadata', `${at}/metadata`], ['Assertion consumer service (ACS)', `${at}/acs`], ['Single logout (SLO)', `${at}/slo`]];
    case 'oauth2':
      return [['Callback URL', `${at}/callback`]];
    default:
      return [
        ['Redirect URI', `${at}/callback`],
        ...(spec.client_auth === 'private_key_jwt' ? [['Our public keys (JWKS URI)', `${at}/jwks.json`] as [string, string]] : []),
        ['Back-channel logout URI', `${at}/backchannel-logout`],
        ['Front-channel logout URI', `${at}/frontchannel-logout`],
        ['After sign-out (post-logout redirect URI)', `${window.location.origin}/.gatehouse/logout`],
      ];
  }
}

/** A value with a button that copies it. */
export function Copied({ label, value }: { label: string; value: string }) {
  return (
    <Group gap="xs" wrap="nowrap" justify="space-between">
      <div style={{ minWidth: 0 }}>
        <Text size="xs" c="dimmed">{label}</Text>
        <Code style={{ overflowWrap: 'anywhere' }}>{value}</Code>
      </div>
      <CopyButton value={value}>
        {({ copied, copy }) => <ActionIcon variant="light" aria-label={copied ? 'Copied' : `Copy: ${label}`} onClick={copy}>{copied ? <IconCheck size={16} aria-hidden /> : <IconCopy size={16} aria-hidden />}</ActionIcon>}
      </CopyButton>
    </Group>
  );
}
