/** Errors of signer/1 on the wire: RFC 9457 with a stable `code` and whether the same request can succeed later. */

export const PROBLEMS = {
  request_malformed: { status: 400, retryable: false, title: 'The request does not match signer/1.' },
  client_not_allowed: { status: 403, retryable: false, title: 'This client may not do that.' },
  not_found: { status: 404, retryable: false, title: 'There is no such thing here.' },
  method_not_allowed: { status: 405, retryable: false, title: 'The resource has no such method.' },
  key_not_active: { status: 409, retryable: true, title: 'The key version does not sign now.' },
  idempotency_conflict: { status: 409, retryable: false, title: 'The idempotency key was used with another request.' },
  log_rollback: {
    status: 409,
    retryable: false,
    title: 'A checkpoint of this log that contradicts it was signed before.',
  },
  body_too_large: { status: 413, retryable: false, title: 'The body is over its limit.' },
  alg_not_allowed: { status: 422, retryable: false, title: 'The key does not sign with this algorithm.' },
  blind_signing_refused: { status: 422, retryable: false, title: 'The key signs only what the signer can read.' },
  value_refused: { status: 422, retryable: false, title: 'One value is not what this key signs.' },
  policy_denied: { status: 422, retryable: false, title: 'The policy does not allow this transaction.' },
  rate_limited: { status: 429, retryable: true, title: 'Too many requests at once.' },
  internal: { status: 500, retryable: true, title: 'Something failed in the signer.' },
  unavailable: { status: 503, retryable: true, title: 'The signer cannot sign now.' },
} as const satisfies Record<string, { readonly status: number; readonly retryable: boolean; readonly title: string }>;

export type ProblemCode = keyof typeof PROBLEMS;

/** A refusal with its code; `extra` becomes members of the problem, e.g. the index of the value refused. */
export class SignerProblem extends Error {
  readonly code: ProblemCode;
  readonly extra: Readonly<Record<string, unknown>>;

  constructor(code: ProblemCode, detail: string, extra: Readonly<Record<string, unknown>> = {}) {
    super(detail);
    this.name = 'SignerProblem';
    this.code = code;
    this.extra = extra;
  }

  get status(): number {
    return PROBLEMS[this.code].status;
  }

  /** The problem document. */
  toBody(): string {
    const { status, retryable, title } = PROBLEMS[this.code];
    return JSON.stringify({
      type: `urn:proofline:signer:${this.code}`,
      title,
      status,
      detail: this.message,
      code: this.code,
      retryable,
      ...this.extra,
    });
  }
}
