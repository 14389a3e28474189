interface Revocation {
  sessions: number;
  devices: number;
  connections_closed: number;
  took_ms: number;
  nodes: { id: string; confirmed: boolean | 'lease_expired' }[];
  deferred?: boolean;
}

const count = (n: number, one: string, many: string) => `${n} ${n === 1 ? one : many}`;

/** What a sign-out did, in one sentence. */
export function summary(r: Revocation): string {
  // How many there were, only the database could tell.
  if (r.deferred) return `Signed out on every node, in ${r.took_ms} ms. The database cannot be reached and gets it when it is back.`;
  if (r.sessions === 0) return 'Nobody was signed in there any more.';
  const what = `Signed out ${count(r.sessions, 'session', 'sessions')} on ${count(r.devices, 'device', 'devices')}`;
  const closed = r.connections_closed > 0 ? `, closed ${count(r.connections_closed, 'open connection', 'open connections')}` : '';
  const waited = r.nodes.filter((node) => node.confirmed === 'lease_expired').map((node) => node.id);
  const late = waited.length > 0 ? ` ${waited.join(', ')} did not answer and was waited out.` : '';
  return `${what}${closed}, in ${r.took_ms} ms.${late}`;
}
