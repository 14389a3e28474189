import { Badge, Button } from '@mantine/core';
import { IconDeviceLaptop } from '@tabler/icons-react';
import { useEffect } from 'react';
import { api, done, type Revocation } from '../client/api';
import { keys, usePages, useRefresh } from '../client/queries';
import { useConfirm } from '../parts/Confirm';
import { Facts, When } from '../parts/Facts';
import { DeviceName, deviceWords } from '../parts/Identity';
import { Page } from '../parts/Page';
import { More, Row, Rows } from '../parts/Rows';
import { Empty, Failure, LoadingRows } from '../parts/States';
import { summary } from '../words/revocation';

/** The caller's own devices. */
export function MyDevices() {
  const refresh = useRefresh();
  const query = usePages([...keys.devices, 'mine'], (cursor) => done(api.GET('/v1/me/devices', { params: { query: { cursor } } })));
  // Who has looked is not told of new devices any more.
  const looked = query.isSuccess;
  useEffect(() => { if (looked) void refresh(keys.me); }, [looked]);
  const end = useConfirm<Revocation>(summary, () => refresh(keys.devices, keys.sessions));
  return (
    <Page title="My devices" lead="Where you have signed in. If you do not know a device, sign it out and change your password at your identity provider." live
      actions={(
        <Button variant="light" color="red" onClick={() => end.ask({
          title: 'Sign out everywhere else?', verb: 'Sign out the others', text: 'All your other sessions end at once; this one stays.',
          act: () => done(api.POST('/v1/me/sessions/revoke-others')),
        })}>Sign out everywhere else</Button>
      )}>
      {end.outcome}
      {query.isPending ? <LoadingRows rows={3} /> : query.isError ? <Failure error={query.error} retry={() => void query.refetch()} />
        : query.items.length === 0 ? <Empty title="No devices" icon={IconDeviceLaptop}>Devices show here when you sign in with a browser.</Empty> : (
          <>
            <Rows label="My devices">
              {query.items.map((d) => (
                <Row key={d.id} name={<DeviceName device={d} badge={d.current && <Badge size="xs" variant="light">This device</Badge>} />}
                  facts={<Facts of={[['Last seen', <When at={d.last_seen_at} />], ['First seen', <When at={d.first_seen_at} />], ['Last IP', d.last_ip || '–']]} />}
                  actions={!d.current && (
                    <Button size="xs" variant="light" color="red" aria-label={`Sign out ${deviceWords(d)}`} onClick={() => end.ask({
                      title: 'Sign out this device?', verb: 'Sign out', text: `You will be signed out on ${deviceWords(d)}, and everything open there is closed.`,
                      act: () => done(api.DELETE('/v1/me/devices/{id}', { params: { path: { id: d.id } } })),
                    })}>Sign out</Button>
                  )} />
              ))}
            </Rows>
            <More query={query} />
          </>
        )}
      {end.dialog}
    </Page>
  );
}
