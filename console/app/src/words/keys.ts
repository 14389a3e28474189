import type { OIDCKey, SAMLKey } from '../client/api';

interface Standing {
  word: string;
  color: 'teal' | 'yellow' | 'gray';
  /** What it means, and what to do. */
  means: string;
}

const states: Record<SAMLKey['state'], Standing> = {
  prepared: { word: 'Next', color: 'yellow', means: 'Published already. Give the provider our metadata again, if it does not read it by itself, before this key signs.' },
  signing: { word: 'Signs', color: 'teal', means: 'What we send is signed with it.' },
  retired: { word: 'Retired', color: 'gray', means: 'Signs no more. What is still encrypted for it is opened.' },
};

/** How one of our keys is, in a word and a sentence. */
export function standingOfKey(key: Pick<SAMLKey, 'state'>): Standing {
  return states[key.state];
}

/** The same of a key by which an OpenID provider knows us. */
export function standingOfClientKey(key: Pick<OIDCKey, 'state' | 'published'>): Standing {
  const standing = states[key.state];
  switch (key.state) {
    case 'prepared': return { ...standing, means: 'Published already. A provider that does not fetch our keys by itself has to be given this one, beside the other, before it signs.' };
    case 'signing': return { ...standing, means: 'Shows the provider who we are.' };
    case 'retired': return { ...standing, means: key.published ? 'Signs no more, and is published for a day still. If the provider was given it by hand, take it away there.' : 'Signs no more, and is published no more. If the provider was given it by hand, take it away there.' };
  }
}

/** Whether a next key can be prepared: there is one at a time, which takes over by itself. */
export function canPrepare(keys: Pick<SAMLKey, 'state'>[]): boolean {
  return keys.every((key) => key.state !== 'prepared');
}

/** What an overlap means for sign-ins. */
export function overlapMeans(days: number): string {
  if (days === 0) return 'The new key signs at once: a provider that has not got our new metadata refuses what we send until it has.';
  return `The new key is published at once and signs in ${days === 1 ? 'a day' : `${days} days`}. Give the provider our metadata before that.`;
}

/** The same where the provider knows us by keys that it fetches. */
export function clientOverlapMeans(days: number): string {
  if (days === 0) return 'The new key signs at once: nobody signs in until the provider knows it.';
  return `The new key is published at once and signs in ${days === 1 ? 'a day' : `${days} days`}. A provider that does not fetch our keys by itself has to be given it before that.`;
}

/** What it means to end an overlap before its time. */
export const signNowMeans = 'The overlap ends: the new key signs at once, and our metadata shows it alone. A provider that has not got that metadata yet refuses what we send until it has.';

/** The same where the provider knows us by keys that it fetches. */
export const clientSignNowMeans = 'The overlap ends, and the new key signs at once. A provider that does not know it yet lets nobody sign in until it does.';

/** What it means there to give a prepared key up. */
export const clientTakeBackMeans = 'The key that signs goes on. If the provider was given the next one by hand, take it away there.';

/** What it means to give a prepared key up. */
export const takeBackMeans = 'The key that signs goes on, and our metadata shows it alone again. What the provider encrypts for the next one from now on is not opened: give it our metadata again if it has the next one already.';

const soon = 30 * 24 * 60 * 60 * 1000;

/** Whether a certificate has ended, or will within a month. */
export function ending(notAfter: string, now: number = Date.now()): 'ended' | 'soon' | undefined {
  const left = Date.parse(notAfter) - now;
  return left <= 0 ? 'ended' : left < soon ? 'soon' : undefined;
}
