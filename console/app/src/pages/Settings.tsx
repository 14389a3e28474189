import { Alert, Button, Group, NumberInput, Paper, Select, Stack, Switch, TagsInput, TextInput } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { api, done, type Settings as Kept } from '../client/api';
import { keys, useCan, useRefresh } from '../client/queries';
import { Page } from '../parts/Page';
import { Failure, LoadingRows } from '../parts/States';
import { hours, minutes } from '../words/time';
import { BrakeFields, brakeRow, brakeSetting } from './BrakeFields';
import { Logo } from './Logo';
import { RateFields, rateRow, rateSetting } from './RateFields';
import { RoleNetworks, rowsOf, settingOf } from './RoleNetworks';
import { SchemaFields, schemaSetting } from './SchemaFields';

type Policy = 'never' | 'unless_provider' | 'always';

/** What an organisation decides of its sign-ins. */
export function Settings() {
  const query = useQuery({ queryKey: keys.settings, queryFn: () => done(api.GET('/v1/settings')) });
  return (
    <Page title="Settings" lead="How long a sign-in lasts, how many a person has, and where they count. A change holds at once, also for who is signed in.">
      {query.isPending ? <LoadingRows rows={3} /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : <Form kept={query.data} />}
    </Page>
  );
}

function Form({ kept }: { kept: Kept }) {
  const can = useCan();
  const refresh = useRefresh();
  const session = kept.session ?? {};
  const [name, setName] = useState(kept.display_name);
  const [idle, setIdle] = useState<number | string>(hours(session.idle) ?? '');
  const [absolute, setAbsolute] = useState<number | string>(hours(session.absolute) ?? '');
  const [most, setMost] = useState<number | string>(session.max_per_person || '');
  const [full, setFull] = useState<'end_oldest' | 'refuse'>(session.when_full ?? 'end_oldest');
  const [bound, setBound] = useState(session.bind_device ?? false);
  const [networks, setNetworks] = useState(session.networks ?? []);
  const [ofRoles, setOfRoles] = useState(rowsOf(session.role_networks));
  const age = hours(session.reauth_age);
  const [recent, setRecent] = useState<number | string>(age === undefined ? '' : Math.round(age * 60));
  const [policy, setPolicy] = useState<Policy>(kept.second_factor?.policy ?? 'never');
  const [classes, setClasses] = useState(kept.second_factor?.acr_values ?? []);
  const [brake, setBrake] = useState(brakeRow(kept.scim));
  const [schemas, setSchemas] = useState(kept.scim?.schemas ?? []);
  const [rate, setRate] = useState(rateRow(kept.scim));
  const [programs, setPrograms] = useState<'allow' | 'recent' | 'refuse'>(session.device_login ?? 'allow');
  const keptFor = hours(kept.scim?.retain);
  const [retain, setRetain] = useState<number | string>(keptFor === undefined ? '' : keptFor / 24);
  const mayBrake = can('gatehouse.users:delete');
  const save = useMutation({
    mutationFn: () => done(api.PUT('/v1/settings', {
      body: {
        display_name: name,
        session: {
          ...(idle !== '' && { idle: minutes(Number(idle)) }),
          ...(absolute !== '' && { absolute: minutes(Number(absolute)) }),
          ...(most !== '' && { max_per_person: Number(most), when_full: full }),
          ...(bound && { bind_device: true }),
          ...(networks.length > 0 && { networks }),
          ...(Object.keys(settingOf(ofRoles)).length > 0 && { role_networks: settingOf(ofRoles) }),
          ...(recent !== '' && { reauth_age: `${recent}m` }),
          ...(programs !== 'allow' && { device_login: programs }),
        },
        second_factor: {
          ...(policy !== 'never' && { policy }),
          ...(classes.length > 0 && { acr_values: classes }),
        },
        scim: {
          ...(mayBrake ? { brake: brakeSetting(brake, kept.scim) } : kept.scim?.brake && { brake: kept.scim.brake }),
          rate: rateSetting(rate),
          ...(retain !== '' && { retain: `${Math.round(Number(retain) * 24)}h` }),
          ...(schemas.length > 0 && { schemas: schemas.map(schemaSetting) }),
        },
      },
    })),
    onSuccess: () => refresh(keys.settings, keys.sessions, keys.me, keys.brake),
  });
  const readOnly = !can('gatehouse.settings:write');
  return (
    <Paper withBorder p="lg" radius="md" maw={640}>
      <form onSubmit={(e) => { e.preventDefault(); save.mutate(); }}>
        <fieldset disabled={readOnly} style={{ border: 0, padding: 0, margin: 0, minWidth: 0 }}>
          <Stack>
            <TextInput label="Name" description="As people see it on the pages of the gate" maxLength={200} value={name} onChange={(e) => setName(e.currentTarget.value)} />
            <Logo kept={kept} readOnly={readOnly} />
            <Group grow align="flex-start">
              <NumberInput label="Signed out when idle for" description="Hours; empty: 8" min={0.05} max={2160} decimalScale={2} suffix=" h" value={idle} onChange={setIdle} />
              <NumberInput label="Signed out after" description="Hours; empty: 168" min={0.05} max={8760} decimalScale={2} suffix=" h" value={absolute} onChange={setAbsolute} />
            </Group>
            <Group grow align="flex-start">
              <NumberInput label="Sign-ins per person" description="At once; empty: any number" min={1} max={1000} allowDecimal={false} value={most} onChange={setMost} />
              <Select label="One more than that" description="What becomes of it" allowDeselect={false} disabled={most === '' || readOnly} value={full} onChange={(v) => setFull(v as 'end_oldest' | 'refuse')}
                data={[{ value: 'end_oldest', label: 'Ends the oldest' }, { value: 'refuse', label: 'Is refused' }]} />
            </Group>
            <TagsInput label="Networks" description="From which people and API tokens are let in, such as 192.0.2.0/24; none: from anywhere" placeholder={networks.length === 0 ? 'Anywhere' : undefined}
              maxTags={100} value={networks} onChange={setNetworks} clearable clearButtonProps={{ 'aria-label': 'Remove all networks' }} />
            <RoleNetworks rows={ofRoles} onChange={setOfRoles} readOnly={readOnly} />
            <Select label="A second factor at sign-in" description="An authenticator app or a passkey, shown at the gate" allowDeselect={false} disabled={readOnly} value={policy} onChange={(v) => setPolicy(v as Policy)}
              data={[{ value: 'never', label: 'Is asked of nobody' }, { value: 'unless_provider', label: 'Is asked unless the provider says that it has' }, { value: 'always', label: 'Is asked of everybody' }]} />
            <TagsInput label="Classes of sign-in with a second factor" description="Values of acr or AuthnContextClassRef by which a provider says so; amr is understood without" maxTags={10} value={classes} onChange={setClasses}
              clearable clearButtonProps={{ 'aria-label': 'Remove all classes' }} />
            <NumberInput label="Sensitive pages ask for a sign-in of the last" description="Minutes; empty: 15. For routes of the app with step_up" min={1} max={10080} allowDecimal={false} suffix=" min" value={recent} onChange={setRecent} />
            <Select label="Programs on people's command lines" description="Whether people may sign them in (gatehouse login). If refused, those that are signed in are let in no more" allowDeselect={false} disabled={readOnly}
              value={programs} onChange={(v) => setPrograms(v as 'allow' | 'recent' | 'refuse')}
              data={[{ value: 'allow', label: 'May be signed in' }, { value: 'recent', label: 'May be signed in after a recent sign-in' }, { value: 'refuse', label: 'Are refused' }]} />
            <Switch label="A sign-in counts only on its own device" description="A copied session cookie is worth nothing without the device's cookie" checked={bound} onChange={(e) => setBound(e.currentTarget.checked)} />
            <BrakeFields row={brake} onChange={setBrake} readOnly={readOnly || !mayBrake} />
            <NumberInput label="Records of deleted people are kept for" description="Days; empty: none is kept. Who they were shows under Users" min={1} max={3650} decimalScale={2} suffix=" d" value={retain} onChange={setRetain} />
            <SchemaFields value={schemas} onChange={setSchemas} readOnly={readOnly} />
            <RateFields row={rate} onChange={setRate} readOnly={readOnly} />
            {save.isError && <Failure error={save.error} />}
            {save.isSuccess && !save.isPending && <Alert color="teal" role="status">Saved. It holds from now on.</Alert>}
            {!readOnly && <Group justify="flex-end"><Button type="submit" loading={save.isPending}>Save</Button></Group>}
          </Stack>
        </fieldset>
      </form>
    </Paper>
  );
}
