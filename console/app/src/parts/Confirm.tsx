import { Alert, Button, Group, Modal, Stack, Text } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { IconCircleCheck } from '@tabler/icons-react';
import { useState, type ReactNode } from 'react';
import classes from './Confirm.module.css';
import { Failure } from './States';

export interface Question<T> {
  title: string;
  text: ReactNode;
  /** The word on the button that does it. */
  verb: string;
  act: () => Promise<T>;
}

/**
 * Asks before something is done and tells what came of it: ask opens the
 * dialog, dialog is to be rendered, and outcome is the sentence to show after.
 */
export function useConfirm<T>(describe: (result: T) => string, after: () => Promise<unknown>) {
  const [question, setQuestion] = useState<Question<T>>();
  const [outcome, setOutcome] = useState<string>();
  const act = useMutation({
    mutationFn: (q: Question<T>) => q.act(),
    onSuccess: async (result) => {
      setQuestion(undefined);
      setOutcome(describe(result));
      await after();
    },
  });
  const close = () => {
    if (act.isPending) return;
    setQuestion(undefined);
    act.reset();
  };
  return {
    ask: (q: Question<T>) => {
      act.reset();
      setOutcome(undefined);
      setQuestion(q);
    },
    dialog: (
      <Modal opened={question !== undefined} onClose={close} title={question?.title} centered closeButtonProps={{ 'aria-label': 'Close' }}
        styles={{ title: { fontWeight: 650 } }}>
        <Stack>
          <Text size="sm">{question?.text}</Text>
          {act.isError && <Failure error={act.error} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" data-autofocus onClick={close}>Cancel</Button>
            <Button color="red" loading={act.isPending} onClick={() => question && act.mutate(question)}>{question?.verb}</Button>
          </Group>
        </Stack>
      </Modal>
    ),
    outcome: (
      <div role="status" className={classes.outcome}>
        {outcome && (
          <Alert color="teal" variant="light" icon={<IconCircleCheck aria-hidden />} withCloseButton closeButtonLabel="Dismiss" onClose={() => setOutcome(undefined)}>
            {outcome}
          </Alert>
        )}
      </div>
    ),
  };
}
