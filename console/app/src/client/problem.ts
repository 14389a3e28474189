/** An error of the admin API (RFC 9457), as a person needs it. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly type: string,
    detail: string,
    readonly eventId?: string,
    readonly requestId?: string,
    /** What is wrong with fields of what was sent, by their paths. */
    readonly fields: Readonly<Record<string, string>> = {},
  ) {
    super(detail);
    this.name = 'Problem';
  }

  static from(status: number, body: unknown): Problem {
    const fields = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
    const text = (name: string) => (typeof fields[name] === 'string' ? (fields[name] as string) : undefined);
    const errors = Array.isArray(fields.errors) ? (fields.errors as { location?: string; message?: string }[]) : [];
    const at = (e: { location?: string }) => e.location?.replace(/^(body|path)\.?/, '') ?? '';
    const wrong = errors.filter((e) => e.message !== fields.detail).map((e) => [at(e), e.message].filter(Boolean).join(': ')).join('; ');
    const pointed = Object.fromEntries(errors.filter(at).map((e) => [at(e), e.message ?? '']));
    const detail = [text('detail') ?? fallback(status), wrong].filter(Boolean).join(' ');
    return new Problem(status, text('type') ?? 'about:blank', detail, text('event_id'), text('request_id'), pointed);
  }
}

function fallback(status: number): string {
  if (status >= 500) return 'The gateway could not answer. Try again in a moment.';
  return `The gateway refused the request (${status}).`;
}
