import { ActionIcon, Autocomplete, Button, Fieldset, Group, Stack, TagsInput, Text } from '@mantine/core';
import { IconPlus, IconTrash } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { api, done } from '../client/api';
import { keys, useCan } from '../client/queries';

/** A role and the networks that its people are let in from. */
export interface RoleNetwork {
  role: string;
  networks: string[];
}

/** The rows of the setting, by role. */
export function rowsOf(set: Record<string, string[]> | undefined): RoleNetwork[] {
  return Object.entries(set ?? {}).map(([role, networks]) => ({ role, networks })).sort((a, b) => a.role.localeCompare(b.role));
}

/** The setting that the rows say; a row that was left empty says nothing, and one that was left half is for the API to refuse. */
export function settingOf(rows: RoleNetwork[]): Record<string, string[]> {
  const set: Record<string, string[]> = {};
  for (const { role, networks } of rows) {
    if (role !== '' || networks.length > 0) set[role] = [...(set[role] ?? []), ...networks];
  }
  return set;
}

/** Edits from where those are let in who have a role. */
export function RoleNetworks({ rows, onChange, readOnly }: { rows: RoleNetwork[]; onChange: (rows: RoleNetwork[]) => void; readOnly: boolean }) {
  const mayList = useCan()('gatehouse.roles:read');
  const roles = useQuery({ queryKey: [...keys.roles, 'names'], queryFn: () => done(api.GET('/v1/roles', { params: { query: { limit: 200 } } })), enabled: mayList });
  const put = (at: number, row: RoleNetwork) => onChange(rows.map((old, i) => (i === at ? row : old)));
  return (
    <Fieldset legend="Networks of roles">
      <Stack gap="sm">
        <Text size="sm" c="dimmed">Whoever has the role, in a team or through a group as well, is let in from these networks alone.</Text>
        {rows.map((row, i) => (
          <Group key={i} align="flex-end" wrap="nowrap" gap="xs">
            <Autocomplete label="Role" w={150} value={row.role} onChange={(role) => put(i, { ...row, role })} data={roles.data?.items.map((r) => r.name) ?? []} />
            <TagsInput label={`Networks of ${row.role || 'the role'}`} flex={1} maxTags={100} value={row.networks} onChange={(networks) => put(i, { ...row, networks })} />
            {!readOnly && (
              <ActionIcon variant="subtle" color="red" size="lg" aria-label={`Remove the networks of ${row.role || 'the role'}`} onClick={() => onChange(rows.filter((_, j) => j !== i))}>
                <IconTrash size={18} aria-hidden />
              </ActionIcon>
            )}
          </Group>
        ))}
        {!readOnly && rows.length < 20 && (
          <Group>
            <Button variant="light" size="xs" leftSection={<IconPlus size={14} aria-hidden />} onClick={() => onChange([...rows, { role: '', networks: [] }])}>Add a role</Button>
          </Group>
        )}
      </Stack>
    </Fieldset>
  );
}
