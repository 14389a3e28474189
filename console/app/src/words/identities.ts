interface Refusal {
  id: string;
  time: string;
  reason?: string;
  connection?: string;
  details?: Record<string, string>;
}

/** A sign-in that nobody was let in by, and that may be linked to a person. */
export interface Refused {
  event: string;
  at: string;
  connection: string;
  connectionName: string;
  subject: string;
  /** The address, if the provider says that it is verified. */
  email: string;
}

/** What keeps out who is known, or would be, by another sign-in. */
const linkable = ['account-exists', 'person-unknown'];

/** The journal ends with this what is too long for it. */
const cut = '…';

/** The refused sign-ins of which any may be a person's, each once: those with their address first, the newest of them first. */
export function refusedSignIns(events: Refusal[], email: string | undefined): Refused[] {
  const seen = new Set<string>();
  const all: Refused[] = [];
  for (const e of events) {
    const subject = e.details?.subject ?? '';
    if (!e.connection || !subject || subject.endsWith(cut) || !linkable.includes(e.reason ?? '')) continue;
    const key = `${e.connection} ${subject}`;
    if (seen.has(key)) continue;
    seen.add(key);
    all.push({ event: e.id, at: e.time, connection: e.connection, connectionName: e.details?.connection ?? e.connection, subject, email: e.details?.email ?? '' });
  }
  const theirs = (r: Refused) => r.email !== '' && r.email.toLowerCase() === email?.toLowerCase();
  return [...all.filter(theirs), ...all.filter((r) => !theirs(r))];
}

/** What is asked before a sign-in is unlinked; left is how many there are with it. */
export function unlinking(name: string, left: number): string {
  const ends = 'Nobody signs in by it any more, and the sessions begun by it end at once, on every device. Groups that its provider has put them into go with it.';
  return left > 1 ? ends : `${ends} It is the only one that ${name} has: without a local account they cannot sign in until you link another.`;
}
