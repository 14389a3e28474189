import { Anchor, Badge, Stack, Text, Title } from '@mantine/core';
import { Link } from 'react-router';
import type { GroupRef, HeldRole } from '../client/api';
import { roleWords, throughWords } from '../words/directory';
import { Row, Rows } from './Rows';

/** The groups that a person or a group is in, and by which others. */
export function InGroups({ groups, none }: { groups: GroupRef[]; none: string }) {
  return (
    <Stack gap="sm">
      <Title order={2} fz="lg">In groups</Title>
      {groups.length === 0 ? <Text size="sm" c="dimmed">None. {none}</Text> : (
        <Rows label="Groups that it is in">
          {groups.map((g) => (
            <Row key={g.id} testId={`in-${g.name}`} name={<Anchor component={Link} to={`/groups/${g.id}`} fw={600} size="sm">{g.name}</Anchor>}
              facts={<Text size="sm" c={g.indirect ? 'dimmed' : undefined}>{throughWords(g) ?? 'a member itself'}</Text>} />
          ))}
        </Rows>
      )}
    </Stack>
  );
}

/** What somebody may do, and by what; nothing for a reader who may not know. */
export function RolesHeld({ roles, title, none }: { roles: HeldRole[] | undefined; title: string; none: string }) {
  if (!roles) return null;
  return (
    <Stack gap="sm">
      <Title order={2} fz="lg">{title}</Title>
      {roles.length === 0 ? <Text size="sm" c="dimmed">Nothing. {none}</Text> : (
        <Rows label={title}>
          {roles.map((r) => (
            <Row key={r.assignment} testId={`role-${roleWords(r)}`} name={<b>{r.role}</b>}
              facts={(
                <Text size="sm">
                  {r.team ? `In the team ${r.team}` : 'For the whole account'}
                  {r.group ? <>, by the group <Anchor component={Link} to={`/groups/${r.group.id}`} inherit underline="always">{r.group.name}</Anchor></> : ', given directly'}
                </Text>
              )}
              actions={r.group?.indirect && <Badge size="xs" variant="light" color="gray">{throughWords(r.group)}</Badge>} />
          ))}
        </Rows>
      )}
    </Stack>
  );
}
