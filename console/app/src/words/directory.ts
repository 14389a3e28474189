/** What the console says of people and groups. */

/** Who keeps a record, and says what stands in it. */
export const sources: Record<string, string> = { scim: 'SCIM', signin: 'Sign-ins', admin: 'Admins' };

/** A source in a word. */
export function sourceWord(source: string): string {
  return sources[source] ?? source;
}

const count = (n: number, one: string, many: string) => `${n.toLocaleString('en')} ${n === 1 ? one : many}`;

/** How many are in a group: "12 people, 1 group", "more than 10,000 people". */
export function sizeWords(g: { people: number; groups: number; at_least?: boolean }): string {
  const people = g.at_least ? `more than ${count(g.people, 'person', 'people')}` : g.people > 0 ? count(g.people, 'person', 'people') : '';
  const groups = g.groups > 0 ? count(g.groups, 'group', 'groups') : '';
  return [people, groups].filter(Boolean).join(', ') || 'nobody';
}

/** "a", "a and b", "a, b and c". */
export function listed(names: string[]): string {
  const last = names.at(-1);
  return names.length < 2 ? last ?? '' : `${names.slice(0, -1).join(', ')} and ${last}`;
}

/** How somebody comes to be in a group: "through Founders"; nothing for who is in it themselves. */
export function throughWords(g: { indirect?: boolean; through?: string[] }): string | undefined {
  if (!g.indirect) return undefined;
  return g.through?.length ? `through ${listed(g.through)}` : 'through other groups';
}

/** Where a role comes from, and for what it is: "owner in payments, by Founders". */
export function roleWords(r: { role: string; team?: string; group?: { name: string } }): string {
  return `${r.role}${r.team ? ` in ${r.team}` : ''}${r.group ? `, by ${r.group.name}` : ''}`;
}

/** What ends when somebody is signed out everywhere: "3 sessions on 2 devices end at once." */
export function endingWords(sessions: { device: { id: string } }[] | undefined, more: boolean): string {
  if (!sessions) return 'Their sessions end at once.';
  if (sessions.length === 0) return 'They are not signed in now.';
  if (more) return `More than ${count(sessions.length, 'session', 'sessions')} end at once.`;
  const devices = new Set(sessions.map((s) => s.device.id)).size;
  return `${count(sessions.length, 'session', 'sessions')} on ${count(devices, 'device', 'devices')} ${sessions.length === 1 ? 'ends' : 'end'} at once.`;
}

/** Why nobody changes a record here; nothing for one that admins keep. */
export function keptWords(what: string, source: string, connection?: string): string | undefined {
  switch (source) {
    case 'admin': return undefined;
    case 'scim': return `Your identity provider keeps this ${what} over SCIM: what it says is changed there.`;
    case 'signin': return `The sign-ins of ${connection ? `the connection ${connection}` : 'a connection'} keep this ${what}: what it says is changed at the identity provider${what === 'group' ? ', or in the rules of the connection' : ''}.`;
    default: return `This ${what} is kept elsewhere, and not changed here.`;
  }
}

export interface Line {
  label: string;
  values: string[];
}

export interface Section {
  /** Empty: the attributes of the core schema. */
  title: string;
  lines: Line[];
}

const titles: Record<string, string> = { 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:user': 'Enterprise' };
const labels: Record<string, string> = { emails: 'Email addresses', phonenumbers: 'Phone numbers', ims: 'Instant messengers', x509certificates: 'Certificates', profileurl: 'Profile', preferredlanguage: 'Language', usertype: 'Kind of person', timezone: 'Time zone' };

/** "givenName" is "Given name". */
function label(name: string): string {
  const known = labels[name.toLowerCase()];
  if (known) return known;
  const words = name.replace(/([a-z0-9])([A-Z])/g, '$1 $2').replace(/[_-]+/g, ' ').toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

type Fields = Record<string, unknown>;

/** What a reader looks for first; the rest follows as it comes. */
const first = ['name', 'formatted', 'honorificPrefix', 'givenName', 'middleName', 'familyName', 'honorificSuffix', 'nickName', 'title', 'userType', 'emails', 'phoneNumbers'];

function inOrder(fields: Fields): [string, unknown][] {
  const place = (name: string) => (first.includes(name) ? first.indexOf(name) : first.length);
  return Object.entries(fields).sort(([a], [b]) => place(a) - place(b));
}

const isFields = (v: unknown): v is Fields => typeof v === 'object' && v !== null && !Array.isArray(v);

/** One value of a list, with its kind: "tel:1 (work, primary)". */
function element(v: unknown): string {
  if (!isFields(v)) return text(v);
  const main = v.formatted ?? v.display ?? v.displayName ?? v.value;
  const notes = [typeof v.type === 'string' ? v.type : '', v.primary === true ? 'primary' : ''].filter(Boolean).join(', ');
  const known = ['formatted', 'display', 'displayName', 'value', 'type', 'primary', '$ref'];
  const said = main !== undefined ? text(main) : Object.entries(v).filter(([k]) => !known.includes(k)).map(([, x]) => text(x)).filter(Boolean).join(', ');
  return [said, notes && `(${notes})`].filter(Boolean).join(' ');
}

function text(v: unknown): string {
  if (typeof v === 'boolean') return v ? 'yes' : 'no';
  if (v === null || v === undefined) return '';
  if (Array.isArray(v)) return v.map(element).filter(Boolean).join(', ');
  if (isFields(v)) return Object.values(v).map(text).filter(Boolean).join(', ');
  return String(v);
}

function lines(fields: Fields): Line[] {
  const found: Line[] = [];
  for (const [name, v] of inOrder(fields)) {
    if (name === 'schemas') continue;
    if (Array.isArray(v)) found.push({ label: label(name), values: v.map(element) });
    else if (isFields(v) && 'value' in v) found.push({ label: label(name), values: [element(v)] }); // a manager
    else if (isFields(v)) found.push(...inOrder(v).map(([k, x]) => ({ label: label(k === 'formatted' ? name : k), values: [text(x)] })));
    else found.push({ label: label(name), values: [text(v)] });
  }
  return found.map((l) => ({ ...l, values: l.values.filter(Boolean) })).filter((l) => l.values.length > 0);
}

/** What SCIM says of somebody, as it is read: the core schema first, then each extension. */
export function attributeSections(attributes: Fields | undefined): Section[] {
  const core: Fields = {};
  const sections: Section[] = [];
  for (const [name, v] of Object.entries(attributes ?? {})) {
    if (!name.includes(':')) core[name] = v;
    else if (isFields(v)) sections.push({ title: titles[name.toLowerCase()] ?? name, lines: lines(v) });
  }
  return [{ title: '', lines: lines(core) }, ...sections].filter((s) => s.lines.length > 0);
}
