import { toBase64Url, toHex } from '../domain/bytes.ts';
import { canonicalText } from '../domain/canonical-json.ts';
import type { DigestAlgorithm } from '../domain/digest.ts';
import type { ErrorCode } from '../domain/errors.ts';
import type { BatchId, ProofId, TenantId } from '../domain/ids.ts';
import { formatSeal, leafDataOfText, sealHeader } from '../domain/seal.ts';
import { SALT_LENGTH, STATEMENT_TYPE, type Statement, saltedDigest } from '../domain/statement.ts';
import { statesBefore } from '../domain/states.ts';
import { type Db, inTransaction, type Tx } from './pool.ts';
import { appendTimeline, describeMoved } from './timeline.ts';

/** Proofs that one transaction freezes or seals. */
export const SEAL_CHUNK = 2_000;

interface UnfrozenRow {
  readonly id: ProofId;
  readonly tenant_id: TenantId;
  readonly digest_alg: DigestAlgorithm;
  readonly digest: Uint8Array;
  readonly reference: string | null;
  readonly reference_salt: Uint8Array | null;
  readonly metadata: unknown;
  readonly metadata_salt: Uint8Array | null;
  readonly received_at: string;
}

/**
 * Freezes the statements of at most `SEAL_CHUNK` members that have none, kid and version included, in one
 * transaction under the batch's row lock. Returns how many; 0 when all members are frozen. Key (proof): a frozen
 * statement is never written again.
 */
export function freezeStatements(
  db: Db,
  input: {
    readonly batch: BatchId;
    readonly kid: string;
    readonly version: number;
    readonly randomBytes: (n: number) => Uint8Array;
  },
): Promise<number> {
  return inTransaction(db, async (tx) => {
    const { rows: frozen } = await tx.query(
      `SELECT (SELECT coalesce(max(ordinal) + 1, 0) FROM seals WHERE batch_id = b.id) AS next FROM batches b WHERE b.id = $1 FOR UPDATE OF b`,
      [input.batch],
    );
    const { rows } = await tx.query<UnfrozenRow>(
      `SELECT p.id, p.tenant_id, p.digest_alg, p.digest, p.reference, p.reference_salt, p.metadata, p.metadata_salt, p.received_at
       FROM (
         SELECT p.* FROM submissions s JOIN proofs p ON p.submission_id = s.id WHERE s.batch_id = $1 AND p.batch_id IS NULL
         UNION ALL SELECT p.* FROM proofs p WHERE p.batch_id = $1) p
       LEFT JOIN seals z ON z.proof_id = p.id
       WHERE z.proof_id IS NULL AND p.state = 'RECEIVED' AND NOT EXISTS (SELECT FROM retry_queue q WHERE q.proof_id = p.id)
       ORDER BY p.received_at, p.submission_id, p.ordinal LIMIT $2`,
      [input.batch, SEAL_CHUNK],
    );
    if (rows.length === 0) return 0;
    const first: number = frozen[0].next;
    const statements = rows.map((row) => canonicalText(statementOf(row, input)));
    await tx.query(
      `INSERT INTO seals (proof_id, tenant_id, batch_id, ordinal, kid, version, statement)
       SELECT u.proof, u.tenant, $1, $2::int + (u.n - 1)::int, $3, $4, u.statement
       FROM unnest($5::uuid[], $6::uuid[], $7::text[]) WITH ORDINALITY AS u (proof, tenant, statement, n)`,
      [input.batch, first, input.kid, input.version, rows.map((r) => r.id), rows.map((r) => r.tenant_id), statements],
    );
    return rows.length;
  });
}

function statementOf(
  row: UnfrozenRow,
  key: { kid: string; version: number; randomBytes: (n: number) => Uint8Array },
): Statement {
  return {
    type: STATEMENT_TYPE,
    proof: row.id,
    tenant: row.tenant_id,
    digest: { alg: row.digest_alg, value: toHex(row.digest) },
    ...(row.reference !== null &&
      row.reference_salt !== null && { referenceDigest: saltedDigest(row.reference_salt, row.reference) }),
    ...(row.metadata !== null &&
      row.metadata_salt !== null && { metadataDigest: saltedDigest(row.metadata_salt, row.metadata) }),
    receivedAt: row.received_at,
    salt: toBase64Url(key.randomBytes(SALT_LENGTH)),
    key: { kid: key.kid, version: key.version },
  };
}

/** Drops frozen statements that were never sealed, so that the next key version can freeze them anew. */
export async function thawUnsealed(db: Db, batch: BatchId): Promise<number> {
  const { rowCount } = await db.query('DELETE FROM seals WHERE batch_id = $1 AND signature IS NULL', [batch]);
  return rowCount ?? 0;
}

/** A frozen statement that waits for its signature. */
export interface Unsealed {
  readonly proofId: ProofId;
  /** Its place in the batch. */
  readonly ordinal: number;
  readonly kid: string;
  readonly version: number;
  readonly statement: string;
}

/**
 * The next frozen statements without a seal whose proofs are still RECEIVED, of one key version, in order; only those
 * behind the place `after`, if given.
 */
export async function readUnsealed(db: Db, batch: BatchId, limit: number, after = -1): Promise<readonly Unsealed[]> {
  const { rows } = await db.query<Unsealed>(
    `SELECT s.proof_id AS "proofId", s.ordinal, s.kid, s.version, s.statement FROM seals s JOIN proofs p ON p.id = s.proof_id
     WHERE s.batch_id = $1 AND s.signature IS NULL AND p.state = 'RECEIVED' AND s.ordinal > $3 ORDER BY s.ordinal LIMIT $2`,
    [batch, limit, after],
  );
  const first = rows[0];
  return first === undefined ? [] : rows.filter((row) => row.kid === first.kid && row.version === first.version);
}

/**
 * Keeps seals, moves their proofs to SEALED and queues their leaves, in one transaction. The first persisted seal
 * wins and the leaf is computed from it only. A proof that left RECEIVED meanwhile keeps neither. Key (proof).
 * Locks: the batch row, then proofs in id order.
 */
export function storeSeals(
  db: Db,
  input: {
    readonly batch: BatchId;
    readonly seals: readonly (Unsealed & { readonly signature: Uint8Array })[];
    readonly now: string;
  },
): Promise<number> {
  return inTransaction(db, async (tx) => {
    await tx.query('SELECT FROM batches WHERE id = $1 FOR UPDATE', [input.batch]);
    const byId = new Map(input.seals.map((seal) => [seal.proofId, seal]));
    const { rows: open } = await tx.query<{ id: ProofId; tenant_id: TenantId }>(
      `SELECT p.id, p.tenant_id FROM proofs p JOIN seals s ON s.proof_id = p.id
       JOIN unnest($1::uuid[], $2::text[]) AS u (proof, statement) ON u.proof = p.id
       -- Another statement was frozen meanwhile, by the next key version or the next batch: this signature is not its.
       WHERE p.state = 'RECEIVED' AND s.signature IS NULL AND s.statement = u.statement ORDER BY p.id FOR UPDATE OF p`,
      [[...byId.keys()], input.seals.map((seal) => seal.statement)],
    );
    if (open.length === 0) return 0;
    // Leaves in the order of the submission, not of the locks.
    const locked = new Map(open.map((row) => [row.id, row.tenant_id]));
    const sealed = input.seals.filter((seal) => locked.has(seal.proofId));
    const ids = sealed.map((seal) => seal.proofId);
    await tx.query(
      `UPDATE seals s SET signature = u.signature, sealed_at = $3 FROM unnest($1::uuid[], $2::bytea[]) AS u (proof, signature) WHERE s.proof_id = u.proof`,
      [ids, sealed.map((seal) => Buffer.from(seal.signature)), input.now],
    );
    await tx.query("UPDATE proofs SET state = 'SEALED' WHERE id = ANY ($1::uuid[])", [ids]);
    await tx.query(
      `INSERT INTO leaf_queue (proof_id, batch_id, tenant_id, leaf)
       SELECT u.proof, $1, u.tenant, u.leaf FROM unnest($2::uuid[], $3::uuid[], $4::bytea[]) WITH ORDINALITY AS u (proof, tenant, leaf, n) ORDER BY u.n`,
      [input.batch, ids, ids.map((id) => locked.get(id)), sealed.map((seal) => Buffer.from(leafOf(seal)))],
    );
    await tx.query('UPDATE batches SET leaves_pending = leaves_pending + $2 WHERE id = $1', [input.batch, ids.length]);
    await appendSealed(
      tx,
      input.batch,
      sealed.map((s) => s.proofId),
      locked,
      input.now,
    );
    await tx.query("SELECT pg_notify('proofline_leaf', '')");
    return ids.length;
  });
}

function leafOf(seal: Unsealed & { readonly signature: Uint8Array }): Uint8Array {
  return leafDataOfText(seal.statement, formatSeal(sealHeader(seal.kid, seal.version), seal.signature));
}

/** A chunk is rarely the whole batch, so its rows name the proofs unless the batch fits in one chunk. */
async function appendSealed(
  tx: Tx,
  batch: BatchId,
  ids: readonly ProofId[],
  tenants: ReadonlyMap<ProofId, TenantId>,
  at: string,
): Promise<void> {
  const moved = new Map<TenantId, ProofId[]>();
  for (const id of ids) {
    const tenant = tenants.get(id);
    if (tenant === undefined) continue;
    const of = moved.get(tenant);
    if (of === undefined) moved.set(tenant, [id]);
    else of.push(id);
  }
  const described = await describeMoved(tx, batch, moved);
  await appendTimeline(
    tx,
    [...described].map(([tenantId, who]) => ({
      tenantId,
      scope: { batchId: batch },
      state: 'SEALED' as const,
      at,
      ...who,
    })),
  );
}

/** Proofs that fail for good leave the batch; the others go on. Key (proof). Returns how many moved. */
export function failProofs(
  db: Db,
  input: {
    readonly batch: BatchId;
    readonly failures: readonly { proofId: ProofId; code: ErrorCode; detail: string }[];
    readonly stage: string;
    readonly now: string;
  },
): Promise<number> {
  return inTransaction(db, async (tx) => {
    const { rows } = await tx.query<{ id: ProofId; tenant_id: TenantId; code: string }>(
      `UPDATE proofs p SET state = 'FAILED', failure = jsonb_build_object('stage', $2::text, 'code', f.code, 'detail', f.detail, 'at', $3::text)
       FROM jsonb_to_recordset($1) AS f ("proofId" uuid, code text, detail text)
       WHERE p.id = f."proofId" AND p.state = ANY ($4::proof_state[])
         AND NOT EXISTS (SELECT FROM certificates c WHERE c.proof_id = p.id)
       RETURNING p.id, p.tenant_id, f.code`,
      [JSON.stringify(input.failures), input.stage, input.now, statesBefore('FAILED')],
    );
    await appendTimeline(
      tx,
      rows.map((row) => ({
        tenantId: row.tenant_id,
        scope: { batchId: input.batch },
        state: 'FAILED' as const,
        at: input.now,
        members: [row.id],
        detail: { stage: input.stage, code: row.code },
      })),
    );
    await tx.query("SELECT pg_notify('proofline_done', '')");
    return rows.length;
  });
}
