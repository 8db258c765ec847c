/** From what was read of a request to rows: ids, salts, instants and the effective policy are made here. */
import { toHex } from '../domain/bytes.ts';
import { toMicros } from '../domain/clock.ts';
import { ProoflineError } from '../domain/errors.ts';
import type { ProofId, SubmissionId } from '../domain/ids.ts';
import { SALT_LENGTH } from '../domain/statement.ts';
import { type AnchorPolicy, resolveAnchorPolicy } from '../domain/states.ts';
import type { AcceptProof, AcceptRequest } from '../store/accept.ts';
import type { TenantKey } from '../store/api-keys.ts';
import { readByIdempotencyKey } from '../store/submissions.read.ts';
import { withTenant } from '../store/tenant-scope.ts';
import type { Submitted } from './read-submission.ts';
import type { ApiDeps } from './route.ts';

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;

export type SubmitResult =
  | {
      readonly outcome: 'accepted';
      readonly request: AcceptRequest;
      /** By lower-case hex digest. */
      readonly earlier: ReadonlyMap<string, readonly ProofId[]>;
    }
  | { readonly outcome: 'replayed'; readonly submission: SubmissionId; readonly firstProof: ProofId };

/**
 * Accepts a submission, or finds the one accepted under the same idempotency key. Throws IDEMPOTENCY_KEY_MALFORMED,
 * IDEMPOTENCY_KEY_REUSED, ANCHOR_POLICY_NOT_ALLOWED, TOO_MANY_PENDING and the refusals of the acceptor.
 */
export async function submit(
  deps: ApiDeps,
  caller: TenantKey,
  route: string,
  idempotencyKey: string | undefined,
  submitted: Submitted,
): Promise<SubmitResult> {
  checkIdempotencyKey(idempotencyKey);
  const request = createRequest(deps, caller, route, idempotencyKey, submitted);
  const accepted = await deps.acceptor.accept(request);
  if (accepted.outcome === 'accepted') {
    deps.metrics.proofsAccepted.inc(request.proofs.length);
    return { outcome: 'accepted', request, earlier: accepted.earlier };
  }
  // The winner has committed: a twin in the same group, or a request of before.
  const first = await findFirst(deps, request);
  if (first === undefined)
    throw new ProoflineError('STORE_UNAVAILABLE', 'the submission of this idempotency key cannot be read yet');
  if (first.bodyHash !== submitted.bodyHash) throw new ProoflineError('IDEMPOTENCY_KEY_REUSED');
  return { outcome: 'replayed', submission: first.id, firstProof: first.firstProof };
}

/** The submission accepted under the request's idempotency key, if there is one. */
async function findFirst(
  { db }: ApiDeps,
  { tenant, route, idempotencyKey }: AcceptRequest,
): ReturnType<typeof readByIdempotencyKey> {
  if (idempotencyKey === undefined) return undefined;
  return withTenant(db, tenant, (tx) => readByIdempotencyKey(tx, tenant, route, idempotencyKey));
}

/** Throws IDEMPOTENCY_KEY_MALFORMED. */
export function checkIdempotencyKey(key: string | undefined): void {
  if (key !== undefined && !IDEMPOTENCY_KEY.test(key)) throw new ProoflineError('IDEMPOTENCY_KEY_MALFORMED');
}

function createRequest(
  deps: ApiDeps,
  caller: TenantKey,
  route: string,
  idempotencyKey: string | undefined,
  { items, refused, reference, anchorPolicy: asked, bodyHash }: Submitted,
): AcceptRequest {
  // The contract's validation has checked `asked`.
  const anchorPolicy = resolveAnchorPolicy(
    caller.anchorPolicy,
    asked as AnchorPolicy | undefined,
    caller.mayWeakenAnchorPolicy,
  );
  const receivedAt = deps.clock.nowMicros();
  const makeSalt = (): string => toHex(deps.randomBytes(SALT_LENGTH));
  return {
    submission: deps.newId() as SubmissionId,
    tenant: caller.tenant,
    unit: caller.orgUnit,
    key: caller.id,
    route,
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    bodyHash,
    ...(reference === undefined ? {} : { reference }),
    anchorPolicy,
    anchorWindow: caller.anchorWindow,
    ...(anchorPolicy === 'PREFERRED' ? { anchorDeadline: addMs(receivedAt, caller.anchorDeadlineMs) } : {}),
    receivedAt,
    ...(refused.length === 0 ? {} : { refused }),
    proofs: items.map(
      ({ index, input }): AcceptProof => ({
        id: deps.newProofId() as ProofId,
        ordinal: index,
        alg: input.digest.alg,
        digest: input.digest.value,
        ...(input.reference === undefined ? {} : { reference: input.reference, referenceSalt: makeSalt() }),
        ...(input.metadata === undefined ? {} : { metadata: input.metadata, metadataSalt: makeSalt() }),
      }),
    ),
  };
}

/** RFC 3339 with microseconds, some milliseconds later. */
function addMs(instant: string, ms: number): string {
  const micros = BigInt(Date.parse(instant)) * 1000n + BigInt(instant.slice(-4, -1));
  return toMicros(micros + BigInt(ms) * 1000n);
}
