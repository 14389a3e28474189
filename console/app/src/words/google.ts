import type { GoogleSync } from '../client/api';

type Outcome = NonNullable<GoogleSync['last']>;

const of = (n: number, one: string, many = `${one}s`) => (n === 1 ? `1 ${one}` : `${n.toLocaleString('en')} ${many}`);

/** What a reading has found and done, in one sentence. */
export function whatWasRead({ counts: c }: Outcome): string {
  const done = [
    c.created > 0 && `${of(c.created, 'person', 'people')} made`,
    c.changed > 0 && `${c.changed.toLocaleString('en')} changed`,
    c.deactivated > 0 && `${c.deactivated.toLocaleString('en')} deactivated`,
    c.deleted > 0 && `${c.deleted.toLocaleString('en')} deleted`,
    c.groups_changed > 0 && `${of(c.groups_changed, 'group')} changed`,
    c.members_added + c.members_removed > 0 && `${of(c.members_added + c.members_removed, 'membership')} changed`,
    c.held > 0 && `${of(c.held, 'person', 'people')} held`,
    c.skipped > 0 && `${c.skipped.toLocaleString('en')} skipped`,
  ].filter(Boolean);
  return `${of(c.people, 'person', 'people')} and ${of(c.groups, 'group')} read: ${done.length > 0 ? done.join(', ') : 'nothing has changed'}.`;
}
