import { Stack, Text, TextInput, Title } from '@mantine/core';
import { useEffect, useRef, useState } from 'react';
import type { ConnectionSpec, Provider } from '../../client/api';
import { Addresses } from './Addresses';
import { Advanced } from './Advanced';
import type { Read } from './ConnectionForm';
import { bounded, FieldInput } from './FieldInput';
import { fields, keysAt, type Place, type Theme } from './fields';
import { FormContext } from './form';
import { useSaving } from './Saving';
import { startedFrom, themesOf, type Errors } from './spec';

interface Props { read: Read | undefined; provider: Provider | undefined; open: Theme | undefined; touch: () => void; close: () => void }

/** The fields of a connection: the common ones, and the rest under "Advanced". */
export function FormBody({ read, provider, open: first, touch, close }: Props) {
  // What somebody else changes meanwhile does not come in under their hands: it is refused when they save.
  const [{ connection, tag }] = useState(() => ({ connection: read?.connection, tag: read?.tag }));
  const [spec, setSpec] = useState<ConnectionSpec>(connection?.spec ?? startedFrom(provider!, { type: 'oidc' }));
  const [name, setName] = useState(connection?.name ?? provider!.id.replace(/-saml$/, ''));
  const [errors, setErrors] = useState<Errors>({});
  const [open, setOpen] = useState<Theme[]>(first ? [first] : []);
  const [looked, setLooked] = useState<string | undefined>(first);
  const form = useRef<HTMLFormElement>(null);

  // Another provider: what was entered for the one before is not for it.
  const [of, setOf] = useState(provider);
  if (provider && provider !== of) {
    setOf(provider);
    setSpec((now) => startedFrom(provider, now));
    if (name === of!.id.replace(/-saml$/, '')) setName(provider.id.replace(/-saml$/, ''));
    setErrors({});
  }

  useEffect(() => {
    if (!looked) return;
    focusOn(form.current, looked);
    setLooked(undefined);
  }, [looked]);

  const set = (change: Partial<ConnectionSpec>) => {
    touch();
    setSpec((now) => ({ ...now, ...change }));
    const changed = Object.keys(change);
    setErrors((now) => Object.fromEntries(Object.entries(now).filter(([path]) => !changed.some((key) => path === key || path.startsWith(`${key}.`) || path.startsWith(`${key}[`)))));
  };
  const complain = (found: Errors) => {
    setErrors(found);
    setOpen((now) => [...new Set([...now, ...themesOf(found, spec)])]);
    setLooked(Object.keys(found)[0]);
  };
  /** What is wrong before anybody is asked: what the browser knows, and whoever could come in from anywhere. */
  const wrong = (): Errors => {
    const found: Record<string, string> = {};
    for (const input of form.current?.querySelectorAll<HTMLInputElement>('input, textarea, select') ?? []) {
      const path = input.closest('[data-path]')?.getAttribute('data-path');
      if (path && !input.validity.valid) found[path] ??= input.validationMessage;
    }
    const bounds = bounded(provider?.public);
    if (bounds && !spec[bounds]?.length && !spec.anybody && (spec.unknown_people !== 'refuse' || spec.link)) found[bounds] = `Anybody can have an account at ${provider!.title}: say who of them comes in.`;
    return found;
  };
  const saving = useSaving({ spec, name, connection, tag, wrong, complain, close });
  const at = (place: Place) => keysAt(place, spec).map((key) => <FieldInput key={key} of={key} />);
  return (
    <FormContext value={{ spec, set, errors, name, connection, provider }}>
      <form ref={form} noValidate onSubmit={(e) => { e.preventDefault(); saving.submit(); }}>
        <Stack>
          {connection && <Text size="sm" c="dimmed" data-path="type">{fields.type.label}: {fields.type.options[spec.type]}</Text>}
          <TextInput data-path="name" label="Name" description={connection ? 'Stands in addresses, and cannot be changed' : 'Stands in addresses: lower-case letters, digits and hyphens. It cannot be changed later'} required={!connection} maxLength={63} readOnly={!!connection} variant={connection && 'filled'} autoComplete="off" spellCheck={false}
            pattern="[a-z0-9]([a-z0-9\-]*[a-z0-9])?" error={errors.name} value={name} onChange={(e) => { touch(); setName(e.currentTarget.value); setErrors(({ name: _, ...rest }) => rest); }} />
          {keysAt('head', spec).filter((key) => key !== 'type').map((key) => <FieldInput key={key} of={key} />)}
          {spec.type !== 'local' && <>
            <Addresses spec={spec} name={name} />
            <Title order={3} size="h5">What the provider gives you</Title>
            {at('provider')}
          </>}
          <Title order={3} size="h5">Who comes in</Title>
          {at('people')}
          {spec.type !== 'local' && <Advanced open={open} change={setOpen} />}
          {saving.footer}
        </Stack>
      </form>
    </FormContext>
  );
}

/** Puts the reader where something is to be seen to. */
function focusOn(form: HTMLFormElement | null, path: string): void {
  const found = form?.querySelector<HTMLElement>(`[data-path="${CSS.escape(path)}"]`);
  if (!found) return;
  const input = found.matches('input, textarea, select') ? found : found.querySelector<HTMLElement>('input:not([type=hidden]), textarea, select, button');
  input?.focus();
}
