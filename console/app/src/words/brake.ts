interface Standing {
  departures: number;
  people: number;
  limit: number;
  window: string;
  token?: string;
}

/** A duration such as "1h0m0s" without what is nothing: "1h". */
export function short(duration: string): string {
  return duration.replace(/m0s$/, 'm').replace(/h0m$/, 'h');
}

/** What was held, as people say it. */
export function whatIsHeld(b: Standing): string {
  const by = b.token ? ` by the token ${b.token}` : '';
  return `${b.departures} of ${b.people} active people were deactivated or deleted, or lost their last role,${by} within ${short(b.window)}, and ${b.limit} may. ${b.departures < b.limit ? 'A change of a group would have taken the last role from more. ' : ''}Whoever is next stays signed in until you decide.`;
}
