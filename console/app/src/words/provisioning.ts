import type { SCIMChange, SCIMRequest } from '../client/api';

/** What a request of a provider is, in a few words. */
export function requestTitle(r: SCIMRequest): string {
  if (r.lost) {
    return `${r.lost} ${r.lost === 1 ? 'request was' : 'requests were'} not kept`;
  }
  return [`${r.method} ${r.path.replace(/^\/scim\/v2/, '') || '/'}`, r.name].filter(Boolean).join(' · ');
}

/** Why requests are missing. */
export function lostBecause(r: SCIMRequest): string {
  return r.status === 401 ? 'They came without a good token, faster than they are kept.' : 'More came than there was room for.';
}

/** What has come of a request. */
export function outcomeOf(r: SCIMRequest): 'changed' | 'unchanged' | 'partly' | 'refused' | 'failed' {
  if (r.status >= 500) return 'failed';
  if (r.status >= 400) return 'refused';
  if (r.failed) return 'partly';
  return r.changed ? 'changed' : 'unchanged';
}

/** How a change is told of. */
export function changeTitle(c: SCIMChange): string {
  const kind = c.kind === 'Group' ? 'Group' : 'Person';
  return `${kind} ${c.name || c.id} ${c.action}`;
}

/** Who has come or gone, with how many more there are than are named. */
export function membersOf(m: { count: number; first?: { id: string; name?: string }[] | null }): string {
  const named = (m.first ?? []).map((one) => one.name || one.id);
  const more = m.count - named.length;
  if (named.length === 0) return `${m.count}`;
  return named.join(', ') + (more > 0 ? ` and ${more} more` : '');
}

/** JSON with a line for each part; anything else as it is. */
export function readable(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** The keywords of errors that SCIM knows (RFC 7644 §3.12, RFC 9865 §2.1). */
export const errorWords = ['uniqueness', 'invalidValue', 'invalidSyntax', 'invalidFilter', 'invalidPath', 'noTarget', 'mutability', 'tooMany', 'invalidCursor', 'expiredCursor', 'invalidCount'];

/** What a field of date and time says, in the reader's time, as the API has it; nothing for one that is not filled in. */
export function momentOf(local: string): string | undefined {
  const at = new Date(local);
  return Number.isNaN(at.getTime()) ? undefined : at.toISOString();
}

/** The most of a body that is shown without being asked for: more of it makes the page slow. */
export const shownAtOnce = 50_000;

/** What is missing of a body; nothing if it is there to its end. */
export function missingOf(body: { text: string; left_out?: number; unread?: boolean }): string | undefined {
  const left = body.left_out ?? 0;
  if (body.unread && !body.text) return left > 0 ? `It was refused before any of its ${left} bytes were read.` : 'It was refused before any of its body was read.';
  if (left > 0) return `${left} bytes more are not kept.`;
  return body.unread ? 'It was not read to its end.' : undefined;
}
