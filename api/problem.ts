/** RFC 9457 problem documents from the error catalogue: the one place where an error becomes an answer. */
import { ERRORS, type ErrorCode, ProoflineError } from '../domain/errors.ts';
import { asStoreError } from '../store/pool.ts';

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly todo: string;
  readonly retryable: boolean;
  readonly instance: string;
  readonly [extra: string]: unknown;
}

/** Seconds after which to ask again, where the error names none itself. */
const RETRY_AFTER: Partial<Record<ErrorCode, number>> = {
  NOT_READY: 2,
  STORE_UNAVAILABLE: 2,
  TOO_MANY_PENDING: 10,
  RATE_LIMITED: 1,
};

/** What a caught error means to the client. Unknown ones become INTERNAL, and nothing of their text is shown. */
export function toProoflineError(error: unknown): ProoflineError {
  const known = asStoreError(error);
  if (known instanceof ProoflineError) return known;
  if (known instanceof URIError) return new ProoflineError('NOT_FOUND', '', { cause: known });
  return fromValidator(known) ?? new ProoflineError('INTERNAL', '', { cause: known });
}

/** `type` is the code's paragraph in the catalogue page. */
export function formatProblem(error: ProoflineError, requestId: string, publicUrl: string): Problem {
  const entry = ERRORS[error.code];
  return {
    type: `${publicUrl}/docs/problems#${error.code}`,
    title: entry.what,
    status: entry.status,
    code: error.code,
    // A foreign thing and an unknown one get the same bytes.
    detail: error.code === 'NOT_FOUND' || error.code === 'INTERNAL' ? '' : error.detail,
    todo: entry.todo,
    retryable: entry.retryable,
    instance: requestId,
    ...withoutHeaders(error.extra),
  };
}

/** Seconds for `Retry-After`, if the client should come again. */
export function retryAfterOf(error: ProoflineError): number | undefined {
  const own = error.extra.retryAfterSeconds;
  return typeof own === 'number' ? own : RETRY_AFTER[error.code];
}

function withoutHeaders({
  retryAfterSeconds: _seconds,
  allow: _allow,
  ...rest
}: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return rest;
}

interface ValidatorError {
  readonly status: number;
  readonly errors: readonly { readonly path: string; readonly message: string }[];
}

/** express-openapi-validator throws objects with a status and the places that fail. */
function fromValidator(error: unknown): ProoflineError | undefined {
  if (!(error instanceof Error) || !('status' in error)) return undefined;
  const { status, errors = [] } = error as unknown as ValidatorError;
  const faults = errors.slice(0, 20).map(({ path, message }) => ({ pointer: path, message }));
  if (status === 404 || status === 405 || faults.some(({ pointer }) => pointer.startsWith('/params')))
    return new ProoflineError('NOT_FOUND');
  if (status === 415) return new ProoflineError('MEDIA_TYPE_UNSUPPORTED');
  if (status === 413) return new ProoflineError('BODY_TOO_LARGE');
  if (status !== 400) return undefined;
  const first = faults[0];
  return new ProoflineError(
    'REQUEST_INVALID',
    first === undefined ? error.message : `${first.pointer} ${first.message}`,
    { extra: { errors: faults } },
  );
}
