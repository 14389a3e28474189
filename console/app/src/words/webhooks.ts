import type { Webhook, WebhookDelivery } from '../client/api';

/** The changes that can be sent, by the name that people know them by. */
export const changeTypes: { value: NonNullable<Webhook['spec']['types']>[number]; label: string }[] = [
  { value: 'user.created', label: 'Person added' },
  { value: 'user.updated', label: 'Person changed' },
  { value: 'user.deactivated', label: 'Person deactivated' },
  { value: 'user.reactivated', label: 'Person reactivated' },
  { value: 'user.deleted', label: 'Person deleted' },
  { value: 'group.created', label: 'Group added' },
  { value: 'group.updated', label: 'Group or its members changed' },
  { value: 'group.deleted', label: 'Group deleted' },
];

/** How a webhook stands, in a word and a colour. */
export function stateOf(w: Pick<Webhook, 'state'>): { label: string; color: string } {
  switch (w.state) {
    case 'off': return { label: 'Off', color: 'gray' };
    case 'failing': return { label: 'Failing', color: 'orange' };
    case 'stopped': return { label: 'Stopped', color: 'red' };
    default: return { label: 'On', color: 'teal' };
  }
}

/** Why nothing is sent to it any more, as a sentence. */
export function stoppedBecause(w: Pick<Webhook, 'stopped_because'>): string {
  return w.stopped_because === 'gone'
    ? 'The receiver answered that it is gone (410). Turn it on again to go on where it was.'
    : 'The receiver took nothing for three days. Turn it on again to go on where it was.';
}

/** How many changes wait for it. */
export function behind(n: number): string {
  if (n === 0) return 'up to date';
  if (n >= 10_000) return '10,000 changes or more behind';
  return n === 1 ? '1 change behind' : `${n.toLocaleString('en')} changes behind`;
}

/** What became of one message. */
export function outcomeOf(d: Pick<WebhookDelivery, 'taken' | 'status' | 'problem' | 'took_ms'>): string {
  const answer = d.status ? `answered ${d.status}` : (d.problem || 'no answer');
  return `${d.taken ? 'Taken' : 'Not taken'}: ${answer}, ${d.took_ms.toLocaleString('en')} ms`;
}
