import { TagsInput, TextInput } from '@mantine/core';
import type { ConnectionSpec } from '../../client/api';
import { useForm } from './form';
import { FieldRows } from './Rows';

type Rule = NonNullable<ConnectionSpec['group_rules']>[number];

const blank: Rule = { claim: '', values: [], group: '' };

/** The rules by which people are put into groups. */
export function GroupRules() {
  const { spec, set, errors } = useForm();
  return (
    <FieldRows of="group_rules" noun="Rule" most={100} rows={spec.group_rules ?? []} blank={blank} change={(group_rules) => set({ group_rules })}>
      {(rule, i, change) => {
        const at = (name: keyof Rule) => ({ 'data-path': `group_rules[${i}].${name}`, error: errors[`group_rules[${i}].${name}`] });
        return (
          <>
            <TextInput {...at('claim')} label={spec.type === 'saml' ? 'If the attribute' : 'If the claim'} required maxLength={256} spellCheck={false} value={rule.claim} onChange={(e) => change({ ...rule, claim: e.currentTarget.value })} />
            <div data-path={`group_rules[${i}].values`}>
              <TagsInput label="Has one of the values" required description="Enter adds one" maxTags={100} splitChars={[]} error={at('values').error} value={rule.values} onChange={(values) => change({ ...rule, values })} />
            </div>
            <TextInput {...at('group')} label="People are in the group" required maxLength={320} value={rule.group} onChange={(e) => change({ ...rule, group: e.currentTarget.value })} />
          </>
        );
      }}
    </FieldRows>
  );
}
