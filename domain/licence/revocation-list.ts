/**
 * The revocation list: which grants of an instance no longer count, in one signed, numbered file. The list with the
 * largest number holds; a grant that it no longer names counts again. It says when the next one is due; overdue is a
 * warning at first, and after a grace nothing is consumed until a newer one is there.
 */
import { ProoflineError } from '../errors.ts';
import { list, object, oneOf, type Read, ShapeFault, text } from '../shape.ts';
import { parseInstant } from '../time.ts';
import { parseSignedFile, type SignedFile, signingInput } from './signed-file.ts';

export const REVOCATION_LIST_TYPE = 'proofline/grant-revocations/v1';
export const REVOCATION_LIST_TYP = 'proofline-grant-revocations+jws';
/** Entries of one list, within the file's 64 KiB. */
export const MAX_REVOCATIONS = 500;
/** How long a list that is overdue only warns. */
export const REVOCATION_LIST_GRACE_MS = 7 * 86_400_000;

export interface RevocationList {
  readonly type: typeof REVOCATION_LIST_TYPE;
  /** From 1; each list of an instance has a larger one than those before. */
  readonly number: number;
  readonly instanceFingerprint: string;
  /** RFC 3339 UTC. */
  readonly issuedAt: string;
  readonly nextUpdate: string;
  /** Grants that count no longer, each from `from`. */
  readonly revoked: readonly { readonly grantId: string; readonly from: string }[];
}

/** NONE: no list was ever imported, so none is missed. */
export type RevocationListState = 'NONE' | 'FRESH' | 'OVERDUE' | 'BLOCKING';

const name = text('1 to 64 letters, digits, ".", "_" or "-"', 64, /^[A-Za-z0-9._-]+$/);
const instant = text('RFC 3339 UTC', 40, (value) => parseInstant(value) !== undefined);
const number: Read<number> = (value, path) => {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > 1_000_000_000)
    throw new ShapeFault(path, 'an integer from 1 to 1000000000');
  return value;
};
const shape = object({
  type: oneOf(REVOCATION_LIST_TYPE),
  number,
  instanceFingerprint: text('hex SHA-256', 64, /^[0-9a-f]{64}$/),
  issuedAt: instant,
  nextUpdate: instant,
  revoked: list(object({ grantId: name, from: instant }), MAX_REVOCATIONS),
});
const readList: Read<RevocationList> = (value, path) => {
  const read = shape(value, path);
  if (new Set(read.revoked.map((r) => r.grantId)).size !== read.revoked.length)
    throw new ShapeFault(`${path}.revoked`, 'each grant once');
  return read;
};

/** Reads a list strictly. Throws GRANT_MALFORMED. */
export function parseRevocationList(file: string): SignedFile<RevocationList> {
  return parseSignedFile(file, REVOCATION_LIST_TYP, readList);
}

/** What an issuer signs; read back strictly first. Throws GRANT_MALFORMED. */
export function revocationListSigningInput(revocations: RevocationList, kid: string): string {
  return signingInput(revocations, kid, REVOCATION_LIST_TYP, readList);
}

/**
 * The checks of an import after the signature: instance, number, dates. Throws GRANT_WRONG_INSTANCE, GRANT_LIST_OUTDATED,
 * GRANT_DATES_INVALID; `unchanged` if this very file is the one that holds.
 */
export function checkRevocationList(
  { payload, hash }: SignedFile<RevocationList>,
  context: {
    readonly instanceFingerprint: string;
    readonly nowMs: number;
    readonly last?: { readonly number: number; readonly hash: string };
  },
): 'unchanged' | RevocationList {
  if (payload.instanceFingerprint !== context.instanceFingerprint)
    throw new ProoflineError(
      'GRANT_WRONG_INSTANCE',
      `this instance has fingerprint ${context.instanceFingerprint}, the list names ${payload.instanceFingerprint}`,
    );
  if (context.last?.hash === hash) return 'unchanged';
  if (context.last !== undefined && payload.number <= context.last.number)
    throw new ProoflineError(
      'GRANT_LIST_OUTDATED',
      `the list has number ${payload.number}, the one that holds has ${context.last.number}`,
    );
  const [issuedAt, nextUpdate] = [instantMs(payload.issuedAt), instantMs(payload.nextUpdate)];
  if (nextUpdate <= issuedAt)
    throw new ProoflineError(
      'GRANT_DATES_INVALID',
      `nextUpdate ${payload.nextUpdate} is not after ${payload.issuedAt}`,
    );
  if (nextUpdate <= context.nowMs)
    throw new ProoflineError('GRANT_DATES_INVALID', `a newer list was due at ${payload.nextUpdate}`);
  return payload;
}

/** How fresh the list that holds is. */
export function revocationListState(nextUpdate: string | undefined, nowMs: number): RevocationListState {
  if (nextUpdate === undefined) return 'NONE';
  const lateMs = nowMs - instantMs(nextUpdate);
  if (lateMs < 0) return 'FRESH';
  return lateMs < REVOCATION_LIST_GRACE_MS ? 'OVERDUE' : 'BLOCKING';
}

/** The parser, or the column's type, has checked the form. */
function instantMs(instant: string): number {
  return Number((parseInstant(instant) ?? 0n) / 1000n);
}
