import { ActionIcon, Alert, Anchor, Button, Code, CopyButton, Drawer, Group, List, PasswordInput, Select, Stack, Switch, TagsInput, Text, Textarea, TextInput, Title } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { IconCheck, IconCopy } from '@tabler/icons-react';
import { useState } from 'react';
import { api, done, type Connection, type ConnectionSpec, type Provider } from '../client/api';
import { keys, usePages, useRefresh } from '../client/queries';
import { Failure, LoadingRows } from './States';

/** The form in which an admin connects an identity provider, or changes how it is connected. */
export function ConnectionForm({ of: connection, opened, close }: { of: Connection | undefined; opened: boolean; close: () => void }) {
  return (
    <Drawer opened={opened} onClose={close} position="right" size="lg" title={connection ? `Change ${connection.name}` : 'Connect an identity provider'}
      closeOnClickOutside={false} closeButtonProps={{ 'aria-label': 'Close' }} styles={{ title: { fontWeight: 650 } }}>
      <Form key={connection?.id ?? 'new'} of={connection} close={close} />
    </Drawer>
  );
}

function Form({ of: connection, close }: { of: Connection | undefined; close: () => void }) {
  const providers = useQuery({ queryKey: keys.providers, queryFn: () => done(api.GET('/v1/providers')), staleTime: Infinity });
  if (providers.isPending) return <LoadingRows rows={3} />;
  if (providers.isError) return <Failure error={providers.error} retry={() => void providers.refetch()} />;
  return <Fields of={connection} providers={providers.data.items} close={close} />;
}

/** The other type's fields are left out: a spec holds those of its own type alone. */
function Fields({ of: connection, providers, close }: { of: Connection | undefined; providers: Provider[]; close: () => void }) {
  const refresh = useRefresh();
  const [spec, setSpec] = useState<ConnectionSpec>(connection?.spec ?? { type: 'oidc' });
  const [name, setName] = useState(connection?.name ?? '');
  const [chosen, setChosen] = useState<string | null>(null);
  const set = (change: Partial<ConnectionSpec>) => setSpec((now) => ({ ...now, ...change }));
  const roles = usePages(keys.roles, (cursor) => done(api.GET('/v1/roles', { params: { query: { cursor } } })));
  const keep = useMutation({
    mutationFn: () => done(api.PUT('/v1/connections/{name}', { params: { path: { name } }, body: tidy(spec) })),
    onSuccess: async () => { await refresh(keys.connections); close(); },
  });
  const provider = providers.find((p) => p.id === chosen);
  const choose = (id: string | null) => {
    const next = providers.find((p) => p.id === id);
    if (!next) return;
    setChosen(id);
    if (!name) setName(next.id.replace(/-saml$/, ''));
    const { display_name, default_role, link, unknown_people, allowed_domains, allowed_groups, group_rules, enabled } = spec;
    const general = { display_name, default_role, link, unknown_people, allowed_domains, allowed_groups, group_rules, enabled };
    const names = Object.keys(next.names ?? {}).length > 0 ? next.names : undefined;
    if (next.type === 'oauth2') {
      setSpec({ ...general, type: 'oauth2', preset: next.preset as 'github' });
      return;
    }
    setSpec(next.type === 'saml'
      ? { ...general, type: 'saml', ...(names && { attributes: names }) }
      : { ...general, type: 'oidc', ...(next.scopes && { scopes: next.scopes }), ...(names && { claims: names }) });
  };
  return (
    <form onSubmit={(e) => { e.preventDefault(); keep.mutate(); }}>
      <Stack>
        {!connection && (
          <Select label="Identity provider" description="What to enter depends on it" required searchable data={providers.map((p) => ({ value: p.id, label: p.title }))} value={chosen} onChange={choose} />
        )}
        {provider?.notes && <Alert color="blue" variant="light" title={`With ${provider.title}`}><List size="sm">{provider.notes.map((n) => <List.Item key={n}>{n}</List.Item>)}</List></Alert>}
        {(connection || provider) && (
          <>
            <TextInput label="Name" description="Stands in addresses: lower-case letters, digits and hyphens. It cannot be changed later" required maxLength={63} disabled={!!connection}
              pattern="[a-z0-9]([a-z0-9\-]*[a-z0-9])?" value={name} onChange={(e) => setName(e.currentTarget.value)} />
            <TextInput label="Shown as" description="What people choose it by; empty: the name" maxLength={200} value={spec.display_name ?? ''} onChange={(e) => set({ display_name: e.currentTarget.value })} />
            {spec.type !== 'local' && <>
              <Addresses type={spec.type} name={name} />
              <Title order={3} size="h5">What the provider gives you</Title>
            </>}
            {spec.type === 'local' ? null : spec.type === 'saml' ? <SAMLFields spec={spec} set={set} provider={provider} /> : <OIDCFields spec={spec} set={set} provider={provider} kept={!!connection?.has_client_secret} />}
            <Title order={3} size="h5">Who comes in</Title>
            <Switch label="People can sign in by it" checked={spec.enabled !== false} onChange={(e) => set({ enabled: e.currentTarget.checked })} description="Off: you can test it, and nobody else can use it" />
            {spec.type !== 'local' && <>
            <Select label="New people become" clearable placeholder="nobody in particular" value={spec.default_role || null} onChange={(v) => set({ default_role: v ?? '' })}
              data={roles.items.map((r) => r.name).filter((n) => !n.startsWith('team_'))} />
            <Switch label="Only people whom SCIM or an admin has made" checked={spec.unknown_people === 'refuse'} onChange={(e) => set({ unknown_people: e.currentTarget.checked ? 'refuse' : '' })} />
            <Select label="A first sign-in takes over" allowDeselect={false} value={spec.link || 'none'} onChange={(v) => set({ link: v === 'none' ? '' : v as 'email' | 'external_id' })}
              data={[{ value: 'none', label: 'Nobody' }, { value: 'email', label: 'The person with the same verified address' }, { value: 'external_id', label: 'The person whom SCIM gave the same external id' }]} />
            <TagsInput label="Allowed domains" description="Of verified addresses; none: any" withAsterisk={provider?.public === 'domains'} value={spec.allowed_domains ?? []} onChange={(v) => set({ allowed_domains: v })} maxTags={100} />
            <TagsInput label="Allowed groups" description="Of the provider, one of which people must be in; none: anybody" withAsterisk={provider?.public === 'groups'} value={spec.allowed_groups ?? []} onChange={(v) => set({ allowed_groups: v })} maxTags={100} />
            </>}
            {keep.isError && <Failure error={keep.error} />}
            <Group justify="flex-end" gap="xs">
              <Button variant="default" onClick={close}>Cancel</Button>
              <Button type="submit" loading={keep.isPending} disabled={unbounded(spec, provider)}>Save</Button>
            </Group>
          </>
        )}
      </Stack>
    </form>
  );
}

/** Whether nothing bounds who comes in by a provider at which anybody can have an account. */
function unbounded(spec: ConnectionSpec, provider: Provider | undefined): boolean {
  return provider?.public === 'domains' && !spec.allowed_domains?.length || provider?.public === 'groups' && !spec.allowed_groups?.length;
}

interface Part { spec: ConnectionSpec; set: (change: Partial<ConnectionSpec>) => void; provider: Provider | undefined }

function OIDCFields({ spec, set, provider, kept }: Part & { kept: boolean }) {
  return (
    <>
      {spec.type === 'oidc' && <TextInput label="Issuer" required type="url" maxLength={2048} placeholder={provider?.issuer} value={spec.issuer ?? ''} onChange={(e) => set({ issuer: e.currentTarget.value })} />}
      <TextInput label="Client id" required maxLength={512} value={spec.client_id ?? ''} onChange={(e) => set({ client_id: e.currentTarget.value })} />
      <PasswordInput label="Client secret" autoComplete="off" maxLength={4096} description={kept ? 'Empty: the one that there is' : undefined} value={spec.client_secret ?? ''}
        onChange={(e) => set({ client_secret: e.currentTarget.value })} visibilityToggleButtonProps={{ 'aria-label': 'Show it' }} />
      {spec.type === 'oidc' && <TagsInput label="Scopes" description="Empty: openid, email and profile" value={spec.scopes ?? []} onChange={(v) => set({ scopes: v })} />}
      {spec.type === 'oidc' && <TextInput label="Claim with the groups" placeholder="groups" maxLength={200} value={spec.claims?.groups ?? ''} onChange={(e) => set({ claims: { ...spec.claims, groups: e.currentTarget.value } })} />}
    </>
  );
}

function SAMLFields({ spec, set, provider }: Part) {
  return (
    <>
      <TextInput label="Address of its metadata" type="url" maxLength={2048} placeholder={provider?.metadata} value={spec.idp_metadata?.url ?? ''} onChange={(e) => set({ idp_metadata: { url: e.currentTarget.value } })}
        description="It is looked at again from time to time, so that new certificates come by themselves" disabled={!!spec.idp_metadata?.xml} />
      <Textarea label="Or the metadata itself" description="The whole XML document, if it has no address" autosize minRows={3} maxRows={8} maxLength={262144} value={spec.idp_metadata?.xml ?? ''}
        onChange={(e) => set({ idp_metadata: { xml: e.currentTarget.value } })} disabled={!!spec.idp_metadata?.url} />
      {(['email', 'name', 'groups'] as const).map((of) => (
        <TextInput key={of} label={`Attribute with the ${of}`} placeholder={of} maxLength={200} value={spec.attributes?.[of] ?? ''} onChange={(e) => set({ attributes: { ...spec.attributes, [of]: e.currentTarget.value } })} />
      ))}
    </>
  );
}

/** What the provider's admin enters there, to be copied. */
function Addresses({ type, name }: { type: ConnectionSpec['type']; name: string }) {
  const at = `${window.location.origin}/.gatehouse/${type}/${name || 'NAME'}`;
  const of: [string, string][] = type === 'saml'
    ? [['Entity id, and address of our metadata', `${at}/metadata`], ['Assertion consumer service (ACS)', `${at}/acs`], ['Single logout', `${at}/slo`]]
    : type === 'oauth2' ? [['Callback URL', `${at}/callback`]]
    : [['Redirect URI', `${at}/callback`], ['Back-channel logout URI', `${at}/backchannel-logout`], ['After sign-out', `${window.location.origin}/.gatehouse/logout`]];
  return (
    <Stack gap="xs">
      <Title order={3} size="h5">What the provider needs of us</Title>
      {of.map(([label, value]) => (
        <Group key={label} gap="xs" wrap="nowrap" justify="space-between">
          <div style={{ minWidth: 0 }}>
            <Text size="xs" c="dimmed">{label}</Text>
            <Code style={{ overflowWrap: 'anywhere' }}>{value}</Code>
          </div>
          <CopyButton value={value}>
            {({ copied, copy }) => <ActionIcon variant="light" aria-label={copied ? 'Copied' : `Copy: ${label}`} onClick={copy}>{copied ? <IconCheck size={16} /> : <IconCopy size={16} />}</ActionIcon>}
          </CopyButton>
        </Group>
      ))}
      {type === 'saml' && <Text size="xs">Some providers read <Anchor href={`${at}/metadata`} target="_blank" rel="noreferrer">our metadata</Anchor> and need nothing else.</Text>}
    </Stack>
  );
}

/** A spec without what is empty, as the API wants it. */
function tidy(spec: ConnectionSpec): ConnectionSpec {
  const full = Object.entries(spec).filter(([, v]) => v !== '' && v !== undefined && !(Array.isArray(v) && v.length === 0) && !(typeof v === 'object' && !Array.isArray(v) && Object.values(v).every((x) => !x)));
  return Object.fromEntries(full.map(([k, v]) => [k, typeof v === 'object' && !Array.isArray(v) && k !== 'signals' ? Object.fromEntries(Object.entries(v).filter(([, x]) => x !== '')) : v])) as unknown as ConnectionSpec;
}
