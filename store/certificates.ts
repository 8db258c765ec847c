import type { BatchId, ProofId, SubmissionId, TenantId } from '../domain/ids.ts';
import type { ProofState } from '../domain/states.ts';
import { requestEagerPdfs } from './certificate-pdfs.ts';
import { type Db, inTransaction, type Tx } from './pool.ts';
import { ringDone } from './ring-done.ts';
import { appendTimeline, describeMoved, type TimelineRow } from './timeline.ts';

/** Drafts that one signing step takes, and one transaction keeps: some 50 ms of work, which a small batch may have to wait for. */
export const CERTIFICATE_CHUNK = 250;

/** Places of a batch that one transaction queues. */
const QUEUE_CHUNK = 1_000;

/**
 * Queues for their licence unit the members whose evidence is complete under their own policy: anchored, or
 * timestamped with policy NONE, a PREFERRED deadline that has passed, or released by an operator. Key (proof): queued or drafted once.
 * `step` runs each transaction. Returns the tenants that have proofs of this batch in the queue.
 */
export async function queueForLicence(
  db: Db,
  batch: BatchId,
  now: string,
  step: <T>(work: () => Promise<T>) => Promise<T> = (work) => work(),
): Promise<readonly TenantId[]> {
  const { rows: places } = await db.query<{ count: number }>(
    'SELECT coalesce(max(ordinal) + 1, 0) AS count FROM seals WHERE batch_id = $1',
    [batch],
  );
  const count = places[0]?.count ?? 0;
  for (let from = 0; from < count; from += QUEUE_CHUNK)
    await step(() => inTransaction(db, (tx) => queueChunk(tx, batch, now, from)));
  const { rows } = await db.query<{ tenant_id: TenantId }>(
    'SELECT DISTINCT tenant_id FROM licence_queue WHERE batch_id = $1 ORDER BY tenant_id',
    [batch],
  );
  return rows.map((row) => row.tenant_id);
}

async function queueChunk(tx: Tx, batch: BatchId, now: string, from: number): Promise<void> {
  // The row lock decides between the anchor, the deadline and a cancellation.
  const { rows: ready } = await tx.query<{ id: ProofId }>(
    `SELECT p.id FROM seals s JOIN proofs p ON p.id = s.proof_id
     WHERE s.batch_id = $1 AND s.ordinal >= $3 AND s.ordinal < $4 AND NOT EXISTS (SELECT FROM certificates c WHERE c.proof_id = p.id)
       AND (p.state = 'ANCHORED' OR (p.state = 'TIMESTAMPED' AND (p.anchor_policy = 'NONE' OR p.released_at IS NOT NULL OR (p.anchor_policy = 'PREFERRED' AND p.anchor_deadline <= $2))))
     ORDER BY p.id FOR UPDATE OF p`,
    [batch, now, from, from + QUEUE_CHUNK],
  );
  if (ready.length === 0) return;
  // A statement of its own, so that it sees the drafts of whoever held the locks: drafted twice, a proof would stop its tenant's drains.
  await tx.query(
    `INSERT INTO licence_queue (tenant_id, received_at, proof_id, org_unit_id, batch_id)
     SELECT p.tenant_id, p.received_at, p.id, p.org_unit_id, $1 FROM proofs p
     WHERE p.id = ANY ($2::uuid[]) AND NOT EXISTS (SELECT FROM certificates c WHERE c.proof_id = p.id) ON CONFLICT (proof_id) DO NOTHING`,
    [batch, ready.map(({ id }) => id)],
  );
}

/**
 * Whether proofs of this batch and tenant are in the licence queue that a drain may serve, or tell that they wait: not those
 * of `unready`, and not those that were told already, whom whatever gives them room serves and whose batch it wakes.
 */
export async function hasUnserved(
  db: Db,
  batch: BatchId,
  tenant: TenantId,
  unready: readonly ProofId[],
): Promise<boolean> {
  const { rowCount } = await db.query(
    'SELECT FROM licence_queue WHERE batch_id = $1 AND tenant_id = $2 AND NOT awaiting AND proof_id <> ALL ($3::uuid[]) LIMIT 1',
    [batch, tenant, unready],
  );
  return rowCount === 1;
}

const FIRST_ID = '00000000-0000-0000-0000-000000000000';

/** A drafted certificate that waits for its signature. `payload` is the JCS text to sign. */
export interface Draft {
  readonly proofId: ProofId;
  readonly payload: string;
}

/** The next drafts of the batch without a signature, in proof order; only those behind `after`, if given. */
export async function readDrafts(db: Db, batch: BatchId, after?: ProofId): Promise<readonly Draft[]> {
  const { rows } = await db.query<Draft>(
    `SELECT d.proof_id AS "proofId", v.payload
     FROM (SELECT proof_id FROM certificates WHERE batch_id = $1 AND signature IS NULL AND proof_id > $3::uuid ORDER BY proof_id LIMIT $2) d,
       LATERAL (SELECT payload FROM certificate_payloads v WHERE v.proof_id = d.proof_id OFFSET 0) v
     ORDER BY d.proof_id`,
    [batch, CERTIFICATE_CHUNK, after ?? FIRST_ID],
  );
  return rows;
}

/**
 * Keeps the signatures of certificates, made by one key version, and moves their proofs to the final state that each draft names,
 * with timeline and events. The first persisted signature wins. Key (proof). Locks: proofs by id, certificates.
 */
export function storeCertificates(
  db: Db,
  input: {
    readonly batch: BatchId;
    readonly kid: string;
    readonly version: number;
    /** `signature`: of the JWS over the draft's payload. */
    readonly certificates: readonly { readonly proofId: ProofId; readonly signature: Uint8Array }[];
    readonly now: string;
  },
): Promise<number> {
  return inTransaction(db, async (tx) => {
    const ids = input.certificates.map((c) => c.proofId);
    await tx.query('SELECT FROM proofs WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE', [ids]);
    const { rows } = await tx.query<{
      id: ProofId;
      tenant_id: TenantId;
      submission_id: SubmissionId;
      final_state: ProofState;
    }>(
      `WITH signed AS (
         UPDATE certificates c SET kid = $4, version = $5, signature = u.signature, signed_at = $3 FROM unnest($1::uuid[], $2::bytea[]) AS u (proof, signature)
         WHERE c.proof_id = u.proof AND c.signature IS NULL RETURNING c.proof_id, c.final_state)
       UPDATE proofs p SET state = s.final_state, certified_at = $3, failure = NULL FROM signed s WHERE p.id = s.proof_id
       RETURNING p.id, p.tenant_id, p.submission_id, s.final_state`,
      [ids, input.certificates.map((c) => Buffer.from(c.signature)), input.now, input.kid, input.version],
    );
    const groups = new Map<string, { tenantId: TenantId; state: ProofState; moved: ProofId[] }>();
    for (const row of rows) {
      const key = `${row.tenant_id}:${row.final_state}`;
      const group = groups.get(key) ?? { tenantId: row.tenant_id, state: row.final_state, moved: [] };
      group.moved.push(row.id);
      groups.set(key, group);
    }
    const steps: TimelineRow[] = [];
    for (const { tenantId, state, moved } of groups.values()) {
      const who = (await describeMoved(tx, input.batch, new Map([[tenantId, moved]]))).get(tenantId);
      steps.push({ tenantId, scope: { batchId: input.batch }, state, at: input.now, ...who });
    }
    await appendTimeline(tx, steps);
    const tenants = [...new Set([...groups.values()].map((group) => group.tenantId))];
    await requestEagerPdfs(
      tx,
      tenants,
      rows.map((row) => row.id),
      input.now,
    );
    await ringDone(tx, [...new Set(rows.flatMap((row) => [row.id, row.submission_id]))]);
    return rows.length;
  });
}
