import { Button, FileButton, Group, NativeSelect, Stack, Text, Textarea, TextInput } from '@mantine/core';
import { IconUpload } from '@tabler/icons-react';
import { useState } from 'react';
import type { ConnectionSpec } from '../../client/api';
import { fields, helpOf } from './fields';
import { useForm } from './form';
import { Wrong } from './Names';

type Source = NonNullable<ConnectionSpec['idp_metadata']>;

/** The largest document that the API takes. */
const largest = 256 * 1024;

/** The provider's metadata: an address, or the document itself. */
export function Metadata() {
  const { spec, set, errors, provider } = useForm();
  const now = spec.idp_metadata;
  const [way, setWay] = useState<'url' | 'xml'>(now?.xml || (provider && !provider.metadata) ? 'xml' : 'url');
  const say = (change: Source) => set({ idp_metadata: { ...(now?.fingerprint && { fingerprint: now.fingerprint }), ...change } });
  return (
    <Stack gap="sm">
      <NativeSelect label={fields.idp_metadata.label} description={helpOf('idp_metadata', spec)} value={way} onChange={(e) => { setWay(e.currentTarget.value as 'url' | 'xml'); say({}); }}
        data={[{ value: 'url', label: 'Read from its address' }, { value: 'xml', label: 'Entered here, or uploaded' }]} />
      {way === 'url' ? (
        <TextInput data-path="idp_metadata.url" label="Address of its metadata" description="It is looked at again from time to time, so that new certificates come by themselves" required type="url" maxLength={2048}
          placeholder={provider?.metadata} error={errors['idp_metadata.url']} value={now?.url ?? ''} onChange={(e) => say({ url: e.currentTarget.value })} />
      ) : <Document value={now?.xml ?? ''} change={(xml) => say({ xml })} />}
      <Wrong path="idp_metadata" />
    </Stack>
  );
}

function Document({ value, change }: { value: string; change: (xml: string) => void }) {
  const { errors } = useForm();
  const [refused, setRefused] = useState<string>();
  const read = async (file: File | null) => {
    if (!file) return;
    if (file.size > largest) {
      setRefused(`${file.name} is larger than 256 KB. Metadata of one provider is not: of a federation, cut its entry out.`);
      return;
    }
    setRefused(undefined);
    change(await file.text());
  };
  return (
    <Stack gap="xs">
      <Textarea data-path="idp_metadata.xml" label="The metadata itself" description="The whole XML document; when the provider’s certificate changes, it must be entered anew" required autosize minRows={3} maxRows={8} maxLength={largest}
        spellCheck={false} error={refused ?? errors['idp_metadata.xml']} value={value} onChange={(e) => change(e.currentTarget.value)} />
      <Group>
        <FileButton onChange={(file) => void read(file)} accept=".xml,text/xml,application/xml,application/samlmetadata+xml" inputProps={{ 'aria-label': 'Metadata file', tabIndex: -1 }}>
          {(props) => <Button {...props} size="xs" variant="light" leftSection={<IconUpload size={14} aria-hidden />}>Upload a file</Button>}
        </FileButton>
      </Group>
    </Stack>
  );
}

/** The certificate that must have signed the metadata. */
export function Pin() {
  const { spec, set, errors } = useForm();
  return (
    <Stack gap={4}>
      <TextInput data-path="idp_metadata.fingerprint" label="Certificate that must have signed the metadata" description="Its SHA-256 in hex, with or without colons; empty: the metadata need not be signed" maxLength={95} spellCheck={false}
        error={errors['idp_metadata.fingerprint']} value={spec.idp_metadata?.fingerprint ?? ''} onChange={(e) => set({ idp_metadata: { ...spec.idp_metadata, fingerprint: e.currentTarget.value } })} />
      {spec.idp_metadata?.fingerprint && <Text size="xs">Once the provider signs with another certificate, its metadata is not taken any more until this is changed.</Text>}
    </Stack>
  );
}
