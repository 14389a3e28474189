import { Button, Fieldset, Group, Stack, Text } from '@mantine/core';
import { IconPlus } from '@tabler/icons-react';
import { useEffect, useRef, type ReactNode } from 'react';
import { helpOf, type Key } from './fields';
import { useForm } from './form';
import { Wrong } from './Names';

/** Several of the same, which can be added and removed; whoever adds one stands in it. */
export function FieldRows<T>({ of: key, rows, change, blank, noun, most, children }: {
  of: Key; rows: readonly T[]; change: (rows: T[]) => void; blank: T; noun: string; most: number; children: (row: T, index: number, change: (row: T) => void) => ReactNode;
}) {
  const { spec } = useForm();
  const list = useRef<HTMLDivElement>(null);
  const add = useRef<HTMLButtonElement>(null);
  const before = useRef(rows.length);
  useEffect(() => {
    if (rows.length > before.current) list.current?.querySelector<HTMLElement>('fieldset:last-of-type input')?.focus();
    if (rows.length < before.current) add.current?.focus();
    before.current = rows.length;
  }, [rows.length]);
  return (
    <Stack gap="sm" ref={list}>
      <Text size="xs" c="dimmed">{helpOf(key, spec)}</Text>
      {rows.map((row, i) => (
        <Fieldset key={i} legend={`${noun} ${i + 1}`} variant="filled">
          <Stack gap="sm">
            {children(row, i, (changed) => change(rows.map((r, at) => (at === i ? changed : r))))}
            <Group justify="flex-end">
              <Button size="xs" variant="light" color="red" aria-label={`Remove ${noun.toLowerCase()} ${i + 1}`} onClick={() => change(rows.filter((_, at) => at !== i))}>Remove</Button>
            </Group>
          </Stack>
        </Fieldset>
      ))}
      <Wrong path={key} />
      <Group>
        <Button ref={add} size="xs" variant="light" leftSection={<IconPlus size={14} aria-hidden />} disabled={rows.length >= most} onClick={() => change([...rows, blank])}>Add {/^[aeiou]/i.test(noun) ? 'an' : 'a'} {noun.toLowerCase()}</Button>
      </Group>
    </Stack>
  );
}
