import { Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { api, done, type User } from '../client/api';
import { keys, useRefresh } from '../client/queries';
import { Failure } from '../parts/States';

/** Makes a person, or changes one whom admins keep. */
export function PersonForm({ user, tag, close, after }: { user?: User; tag?: string; close: () => void; after: (user: User) => void }) {
  const refresh = useRefresh();
  const was = { user_name: user?.user_name ?? '', name: user?.name ?? '', email: user?.email ?? '', external_id: user?.external_id ?? '' };
  const [is, setIs] = useState(was);
  const field = (name: keyof typeof is) => ({ value: is[name], onChange: (e: { currentTarget: { value: string } }) => setIs({ ...is, [name]: e.currentTarget.value }) });
  const save = useMutation({
    mutationFn: () => {
      if (!user) return done(api.POST('/v1/users', { body: is }));
      const changed = Object.fromEntries(Object.entries(is).filter(([k, v]) => v !== was[k as keyof typeof was]));
      return done(api.PATCH('/v1/users/{id}', { params: { path: { id: user.id }, header: { 'If-Match': tag } }, body: changed }));
    },
    onSuccess: async (now) => {
      await refresh(keys.users, keys.groups, keys.events);
      close();
      after(now);
    },
  });
  return (
    <form onSubmit={(e) => { e.preventDefault(); save.mutate(); }}>
      <Stack>
        <Text size="sm">
          {user ? 'What they are known by (user name, email, external id) decides who becomes them, so changing it takes the right to make owners.'
            : 'They have no role and nothing to sign in with yet. A connection that links people by email or external id knows them by what you enter here.'}
        </Text>
        <TextInput label="User name" required maxLength={256} data-autofocus {...field('user_name')} />
        <TextInput label="Name" maxLength={256} {...field('name')} />
        <TextInput label="Email" type="email" maxLength={254} {...field('email')} />
        <TextInput label="External id" description="What your identity provider knows them by; leave it empty if you do not need it" maxLength={256} {...field('external_id')} />
        {save.isError && <Failure error={save.error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>Cancel</Button>
          <Button type="submit" loading={save.isPending}>{user ? 'Save' : 'Make the person'}</Button>
        </Group>
      </Stack>
    </form>
  );
}

/** The form in its dialog. */
export function PersonDialog({ opened, ...form }: { opened: boolean } & Parameters<typeof PersonForm>[0]) {
  return (
    <Modal opened={opened} onClose={form.close} title={form.user ? 'Change the person' : 'Make a person'} centered closeButtonProps={{ 'aria-label': 'Close' }}>
      {opened && <PersonForm {...form} />}
    </Modal>
  );
}
