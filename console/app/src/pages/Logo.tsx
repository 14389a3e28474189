import { Button, FileButton, Group, Input, Stack } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { api, done, type Settings } from '../client/api';
import { keys, useRefresh } from '../client/queries';
import { Failure } from '../parts/States';

/** The picture beside the name on the pages of the gate. It is kept at once, and not with the form. */
export function Logo({ kept, readOnly }: { kept: Settings; readOnly: boolean }) {
  const refresh = useRefresh();
  const onSuccess = () => refresh(keys.settings);
  const set = useMutation({
    mutationFn: (file: File) => done(api.PUT('/v1/settings/logo', {
      body: file as unknown as string, // the document knows binary as text
      bodySerializer: (body) => body,
      headers: { 'Content-Type': 'application/octet-stream' },
    })),
    onSuccess,
  });
  const remove = useMutation({ mutationFn: () => done(api.DELETE('/v1/settings/logo')), onSuccess });
  const failed = set.error ?? remove.error;
  return (
    <Input.Wrapper label="Logo" labelElement="div" description="Beside the name, on the pages of the gate: PNG, JPEG or WebP, at most 64 KiB and 1024 by 1024 pixels">
      <Stack gap="xs" mt={4}>
        <Group>
          {kept.logo && <img src={kept.logo} alt="The logo as it is" style={{ maxWidth: 128, maxHeight: 40 }} />}
          {!readOnly && (
            <FileButton accept="image/png,image/jpeg,image/webp" onChange={(file) => { if (file) set.mutate(file); }}>
              {(props) => <Button {...props} variant="default" size="xs" loading={set.isPending}>{kept.logo ? 'Choose another image' : 'Choose an image'}</Button>}
            </FileButton>
          )}
          {!readOnly && kept.logo && <Button variant="default" size="xs" loading={remove.isPending} onClick={() => remove.mutate()}>Remove the logo</Button>}
        </Group>
        {failed && <Failure error={failed} />}
      </Stack>
    </Input.Wrapper>
  );
}
