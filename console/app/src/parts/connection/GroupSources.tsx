import { TagsInput, TextInput } from '@mantine/core';
import type { ConnectionSpec } from '../../client/api';
import { useForm } from './form';
import { FieldRows } from './Rows';

type Source = NonNullable<ConnectionSpec['groups_from']>[number];

const blank: Source = { url: '', name: [] };

/** The addresses that list a person's organisations and teams. */
export function GroupSources() {
  const { spec, set, errors } = useForm();
  return (
    <FieldRows of="groups_from" noun="Address" most={5} rows={spec.groups_from ?? []} blank={blank} change={(groups_from) => set({ groups_from })}>
      {(source, i, change) => {
        const at = (name: keyof Source) => ({ 'data-path': `groups_from[${i}].${name}`, error: errors[`groups_from[${i}].${name}`] });
        return (
          <>
            <TextInput {...at('url')} label="URL of the list" required type="url" maxLength={2048} value={source.url} onChange={(e) => change({ ...source, url: e.currentTarget.value })} />
            <div data-path={`groups_from[${i}].name`}>
              <TagsInput label="Where an entry has the name" required description="A path by dots, such as organization.login; several are joined with a slash, in their order" maxTags={4} splitChars={[',', ' ']} allowDuplicates
                error={at('name').error} value={source.name} onChange={(name) => change({ ...source, name })} />
            </div>
          </>
        );
      }}
    </FieldRows>
  );
}
