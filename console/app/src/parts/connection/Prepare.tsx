import { Button, Group, NumberInput, Stack, Text } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { Failure } from '../States';

interface RollOver<T> {
  /** Days of overlap: what is offered, and the most. */
  first: number;
  most: number;
  /** What an overlap means for sign-ins. */
  means: (days: number) => string;
  act: (days: number) => Promise<T>;
  then: (state: T) => void;
}

/** Begins a roll-over, which ends by itself when the overlap is over. */
export function Prepare<T>({ first, most, means, act, then }: RollOver<T>) {
  const [days, setDays] = useState(first);
  const prepare = useMutation({ mutationFn: () => act(days), onSuccess: then });
  return (
    <Stack gap="xs">
      <Group align="flex-end">
        <NumberInput label="Days until the next key signs" min={0} max={most} allowDecimal={false} clampBehavior="strict" value={days} onChange={(value) => setDays(Number(value) || 0)} />
        <Button variant="default" loading={prepare.isPending} onClick={() => prepare.mutate()}>Prepare the next key</Button>
      </Group>
      <Text size="sm" c={days === 0 ? 'red' : 'dimmed'}>{means(days)}</Text>
      {prepare.isError && <Failure error={prepare.error} />}
    </Stack>
  );
}
