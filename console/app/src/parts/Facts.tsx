import { Group, Text, Tooltip } from '@mantine/core';
import type { ReactNode } from 'react';
import { ago, exactly } from '../words/time';

/** Short facts side by side: a small label over a value. */
export function Facts({ of }: { of: (readonly [string, ReactNode] | false | undefined)[] }) {
  return (
    <Group gap="lg" component="dl" m={0}>
      {of.filter((fact) => fact !== false && fact !== undefined).map(([label, value]) => (
        <div key={label}>
          <Text component="dt" size="xs" c="dimmed" lh={1.3}>{label}</Text>
          <Text component="dd" size="sm" m={0} lh={1.4}>{value}</Text>
        </div>
      ))}
    </Group>
  );
}

/** A time in words, with the exact one at hand. */
export function When({ at }: { at: string }) {
  return (
    <Tooltip label={exactly(at)}>
      <time dateTime={at}>{ago(at)}</time>
    </Tooltip>
  );
}
