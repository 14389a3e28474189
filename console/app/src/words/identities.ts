interface Refusal {
  id: string;
  time: string;
  reason?: string;
  connection?: string;
  ip?: string;
  details?: Record<string, string>;
}

/** A sign-in that nobody was let in by, and that may be linked to a person. */
export interface Refused {
  event: string;
  at: string;
  /** The client's address. */
  from: string;
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

/** The refused sign-ins of which any may be a person's, each once, the newest first: those with an address of theirs, and the others, who may be anybody. */
export function refusedSignIns(events: Refusal[], emails: (string | undefined)[]): { theirs: Refused[]; others: Refused[] } {
  const seen = new Set<string>();
  const own = emails.map((e) => e?.toLowerCase());
  const all = { theirs: [] as Refused[], others: [] as Refused[] };
  for (const e of events) {
    const subject = e.details?.subject ?? '';
    if (!e.connection || !subject || subject.endsWith(cut) || !linkable.includes(e.reason ?? '')) continue;
    const key = `${e.connection} ${subject}`;
    if (seen.has(key)) continue;
    seen.add(key);
    const email = e.details?.email ?? '';
    const found = { event: e.id, at: e.time, from: e.ip ?? '', connection: e.connection, connectionName: e.details?.connection ?? e.connection, subject, email };
    (email !== '' && own.includes(email.toLowerCase()) ? all.theirs : all.others).push(found);
  }
  return all;
}

/** What is not seen, or turns what is around it, made to be seen: a subject is compared to the letter. */
export function visible(subject: string): string {
  return subject.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`);
}

/** What is asked before a sign-in is unlinked; left is how many there are with it. */
export function unlinking(name: string, left: number): string {
  const ends = 'Nobody signs in by it any more, and the sessions begun by it end at once, on every device. Groups that its provider has put them into go with it.';
  return left > 1 ? ends : `${ends} It is the only one that ${name} has: without a local account they cannot sign in until you link another.`;
}
