import { Paper, Stack, Title } from '@mantine/core';
import { attributeSections } from '../words/directory';
import { Facts } from './Facts';

/** What SCIM knows of somebody, in words. */
export function Attributes({ of }: { of: Record<string, unknown> | undefined }) {
  const sections = attributeSections(of);
  if (sections.length === 0) return null;
  return (
    <Stack gap="sm">
      <Title order={2} fz="lg">What SCIM says</Title>
      {sections.map((s) => (
        <Paper key={s.title} withBorder p="md" component="section" aria-label={s.title || 'Core attributes'} data-testid={`attributes-${s.title || 'core'}`}>
          {s.title && <Title order={3} fz="sm" mb="xs" style={{ overflowWrap: 'anywhere' }}>{s.title}</Title>}
          <Facts of={s.lines.map((l) => [l.label, l.values.map((v, i) => <div key={i}><bdi>{v}</bdi></div>)] as const)} />
        </Paper>
      ))}
    </Stack>
  );
}
