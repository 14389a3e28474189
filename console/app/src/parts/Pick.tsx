import { MultiSelect, Select } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { api, done } from '../client/api';
import { keys } from '../client/queries';

interface Choice {
  value: string;
  label: string;
}

/** How many are offered at once; typing finds the others. */
const offered = 20;

export const findGroups = async (search: string): Promise<Choice[]> => {
  const page = await done(api.GET('/v1/groups', { params: { query: { limit: offered, ...(search && { search }) } } }));
  return page.items.map((g) => ({ value: g.id, label: g.name }));
};

export const findPeople = async (search: string): Promise<Choice[]> => {
  const page = await done(api.GET('/v1/users', { params: { query: { limit: offered, ...(search && { search }) } } }));
  return page.items.map((u) => ({ value: u.id, label: u.name && u.name !== u.user_name ? `${u.name} (${u.user_name})` : u.user_name }));
};

/** What a search offers; whoever is chosen stays among it. */
function useChoices(what: readonly unknown[], find: (search: string) => Promise<Choice[]>, chosen: Choice[]) {
  const [typed, setTyped] = useState('');
  // The name of what is chosen stands in the field, and is no search.
  const [search] = useDebouncedValue(chosen.some((c) => c.label === typed) ? '' : typed.trim().slice(0, 200), 250);
  const query = useQuery({ queryKey: [...what, 'choose', search], queryFn: () => find(search), placeholderData: (before: Choice[] | undefined) => before });
  const found = query.data ?? [];
  const data = [...chosen.filter((c) => !found.some((f) => f.value === c.value)), ...found];
  return {
    data, searchable: true, searchValue: typed, onSearchChange: setTyped,
    filter: ({ options }: { options: unknown[] }) => options as never, // the gateway has searched already
    nothingFoundMessage: query.isError ? 'The search failed. Type again.' : query.isFetching ? 'Searching…' : 'Nothing matches',
  };
}

/** Chooses one group, or none. */
export function PickGroup({ label, placeholder, value, onChange, w }: { label: string; placeholder: string; value: string; onChange: (id: string) => void; w?: object }) {
  const named = useQuery({
    queryKey: [...keys.groups, 'name', value],
    queryFn: () => done(api.GET('/v1/groups/{id}', { params: { path: { id: value } } })),
    enabled: value !== '',
    retry: false,
  });
  const choices = useChoices(keys.groups, findGroups, value ? [{ value, label: named.data?.name ?? (named.isError ? 'A group that is gone' : '…') }] : []);
  return <Select aria-label={label} placeholder={placeholder} clearable w={w} value={value || null} onChange={(v) => onChange(v ?? '')} {...choices} />;
}

/** Chooses several people or groups. */
export function PickMany({ label, what, find, value, onChange, max }: {
  label: string; what: readonly unknown[]; find: (search: string) => Promise<Choice[]>; value: Choice[]; onChange: (chosen: Choice[]) => void; max: number;
}) {
  const choices = useChoices(what, find, value);
  return (
    <MultiSelect label={label} placeholder="Type a name" hidePickedOptions maxValues={max} value={value.map((c) => c.value)}
      onChange={(ids) => onChange(ids.flatMap((id) => choices.data.find((c) => c.value === id) ?? []))} {...choices} />
  );
}
