import { createHash, randomUUID } from 'node:crypto';
import type { ProofId, SubmissionId } from '../../domain/ids.ts';
import type { AnchorPolicy, AnchorWindow } from '../../domain/states.ts';
import { createAcceptor } from '../../store/accept.ts';
import type { TestDatabase } from './database.ts';
import type { SeededTenant } from './seed.ts';

export interface AcceptedOptions {
  readonly anchorPolicy?: AnchorPolicy;
  readonly anchorWindow?: AnchorWindow;
  readonly anchorDeadline?: string;
  readonly receivedAt?: string;
}

/** Accepts one submission of `count` proofs as the API does: through accept() under the intake role. */
export async function acceptProofs(
  test: TestDatabase,
  tenant: SeededTenant,
  count: number,
  options: AcceptedOptions = {},
): Promise<{ readonly submissionId: SubmissionId; readonly proofIds: readonly ProofId[] }> {
  const acceptor = createAcceptor({ intake: test.pool('proofline_intake') });
  const submissionId = randomUUID() as string as SubmissionId;
  const proofs = Array.from({ length: count }, (_, ordinal) => {
    const id = randomUUID() as string as ProofId;
    return { id, ordinal, alg: 'sha-256' as const, digest: createHash('sha256').update(id).digest('hex') };
  });
  await acceptor.accept({
    submission: submissionId,
    tenant: tenant.tenantId,
    unit: tenant.orgUnitId,
    key: tenant.apiKeyId,
    route: 'POST /v1/submissions',
    bodyHash: createHash('sha256').update(submissionId).digest('hex'),
    anchorPolicy: options.anchorPolicy ?? 'NONE',
    anchorWindow: options.anchorWindow ?? 'express',
    ...(options.anchorDeadline !== undefined && { anchorDeadline: options.anchorDeadline }),
    receivedAt: options.receivedAt ?? '2026-01-31T08:00:00.000000Z',
    proofs,
  });
  return { submissionId, proofIds: proofs.map((proof) => proof.id) };
}
