import { createHash, randomUUID } from 'node:crypto';
import type { BatchId, OrgUnitId, ProofId, TenantId } from '../../domain/ids.ts';
import type { AnchorPolicy, ProofState } from '../../domain/states.ts';
import type { Queryable } from '../../store/pool.ts';

export interface QueuedOptions {
  readonly tenantId: TenantId;
  readonly orgUnitId: OrgUnitId;
  /** The batch they belong to; made if it is new. */
  readonly batchId?: BatchId;
  readonly state?: ProofState;
  readonly anchorPolicy?: AnchorPolicy;
  readonly anchorDeadline?: string;
  /** RFC 3339 of the first; each next one is received a millisecond later. */
  readonly receivedAt?: string;
}

/**
 * Proofs as they are once their evidence is complete: sealed, in the tree, in the licence queue of their batch. The
 * timestamps and anchors that cover them are `coverLeaves`'. As proofline_owner.
 */
export async function seedQueuedProofs(
  db: Queryable,
  count: number,
  options: QueuedOptions,
): Promise<{ readonly batchId: BatchId; readonly proofIds: readonly ProofId[] }> {
  const { tenantId, orgUnitId, state = 'TIMESTAMPED', anchorPolicy = 'NONE', anchorDeadline = null } = options;
  const receivedAt = options.receivedAt ?? '2026-01-31T08:00:00.000000Z';
  const batchId = options.batchId ?? (randomUUID() as string as BatchId);
  const submission = randomUUID();
  await db.query(
    `INSERT INTO batches (id, anchor_policy, anchor_window, proof_count, state, formed_at) VALUES ($1, $2, 'express', $3, 'SEALED', $4)
     ON CONFLICT (id) DO UPDATE SET proof_count = batches.proof_count + $3`,
    [batchId, anchorPolicy, count, receivedAt],
  );
  await db.query(
    `INSERT INTO submissions (id, tenant_id, org_unit_id, api_key_id, anchor_policy, anchor_window, proof_count, received_at, body_hash, batch_id)
     VALUES ($1, $2, $3, $3, $4, 'express', $5, $6, $7, $8)`,
    [submission, tenantId, orgUnitId, anchorPolicy, count, receivedAt, Buffer.alloc(32), batchId],
  );
  const ids = Array.from({ length: count }, () => randomUUID());
  await db.query(
    `INSERT INTO proofs (id, tenant_id, org_unit_id, submission_id, ordinal, digest_alg, digest, anchor_policy, anchor_deadline, received_at, state)
     SELECT id, $2, $3, $4, n - 1, 'sha-256', sha256(convert_to(id::text, 'UTF8')), $5, $6::timestamptz, $7::timestamptz + (n - 1) * interval '1 ms', $8
     FROM unnest($1::uuid[]) WITH ORDINALITY AS u (id, n)`,
    [ids, tenantId, orgUnitId, submission, anchorPolicy, anchorDeadline, receivedAt, state],
  );
  await db.query(
    `INSERT INTO seals (proof_id, tenant_id, batch_id, ordinal, kid, version, statement, signature)
     SELECT id, $2, $3, (SELECT count(*) FROM seals WHERE batch_id = $3) + n, 'seal', 1, '{}', ''
     FROM unnest($1::uuid[]) WITH ORDINALITY AS u (id, n)`,
    [ids, tenantId, batchId],
  );
  await db.query(
    `INSERT INTO leaves (index, leaf, proof_id, batch_id, tenant_id)
     SELECT (SELECT coalesce(max(index) + 1, 0) FROM leaves) + n - 1, sha256(convert_to('leaf ' || id, 'UTF8')), id, $3, $2
     FROM unnest($1::uuid[]) WITH ORDINALITY AS u (id, n)`,
    [ids, tenantId, batchId],
  );
  await db.query(
    `INSERT INTO licence_queue (tenant_id, received_at, proof_id, org_unit_id, batch_id)
     SELECT tenant_id, received_at, id, org_unit_id, $2 FROM proofs WHERE id = ANY ($1::uuid[])`,
    [ids, batchId],
  );
  return { batchId, proofIds: ids as string[] as ProofId[] };
}

/** A timestamped checkpoint over all leaves so far, and an anchor of it if asked. Returns its size. */
export async function coverLeaves(
  db: Queryable,
  options: {
    readonly origin: string;
    readonly at?: string;
    readonly anchor?: 'VERIFIED' | 'SENT';
  },
): Promise<bigint> {
  const at = options.at ?? '2026-01-31T08:59:00.000000Z';
  const { rows } = await db.query('SELECT coalesce(max(index) + 1, 0) AS size FROM leaves');
  const size: bigint = rows[0].size;
  const of = (what: string): Buffer => createHash('sha256').update(`${what} of ${size}`).digest();
  await db.query(
    'INSERT INTO checkpoints (origin, size, root, note, published_at) VALUES ($1, $2::bigint, $3, $4, $5) ON CONFLICT DO NOTHING',
    [options.origin, size.toString(), of('root'), `note of ${size}`, at],
  );
  await db.query(
    `INSERT INTO timestamps (origin, size, tsa, token, token_sha256, gen_time, serial, policy, self_operated, accepted_at)
     VALUES ($1, $2::bigint, 'tsa', $3, $4, $5, $6, '1.2.3', true, $5) ON CONFLICT DO NOTHING`,
    [options.origin, size.toString(), of('token'), createHash('sha256').update(of('token')).digest(), at, `${size}`],
  );
  if (options.anchor !== undefined) {
    const entry = {
      ledger: 'hedera-hcs/v1',
      network: 'simulator',
      topicId: '0.0.1001',
      sequenceNumber: `${size}`,
      consensusTimestamp: `${size}.000000000`,
      transactionId: `0.0.2@${size}.000000000`,
      payer: '0.0.2',
      message: `pl1|test|${size}|root`,
      prevRunningHash: '',
      runningHash: '',
    };
    await db.query(
      `INSERT INTO anchors (origin, size, "window", state, entry, created_at, updated_at) VALUES ($1, $2::bigint, 'express', $3, $4, $5, $5)`,
      [options.origin, size.toString(), options.anchor, JSON.stringify(entry), at],
    );
  }
  return size;
}

/** An org unit below `parent`. Returns its id. */
export async function seedOrgUnit(db: Queryable, tenantId: TenantId, parent: OrgUnitId): Promise<OrgUnitId> {
  const id = randomUUID();
  await db.query(
    `INSERT INTO org_units (id, tenant_id, parent_id, depth, path, name, created_at)
     SELECT $1, $2, id, depth + 1, path || $1::uuid, 'Unit', now() FROM org_units WHERE id = $3`,
    [id, tenantId, parent],
  );
  return id as string as OrgUnitId;
}
