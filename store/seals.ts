import { toBase64Url, toHex } from '../domain/bytes.ts';
import { canonicalText } from '../domain/canonical-json.ts';
import type { DigestAlgorithm } from '../domain/digest.ts';
import type { ErrorCode } from '../domain/errors.ts';
import type { BatchId, ProofId, SubmissionId, TenantId } from '../domain/ids.ts';
import { formatSeal, leafDataOfText, sealHeader } from '../domain/seal.ts';
import { SALT_LENGTH, STATEMENT_TYPE, type Statement, saltedDigest } from '../domain/statement.ts';
import { statesBefore } from '../domain/states.ts';
import { type Db, inTransaction, type Tx } from './pool.ts';
import { ringDone } from './ring-done.ts';
import { appendTimeline, describeMoved } from './timeline.ts';

/** Proofs that one transaction freezes or seals: some 50 ms of work, which a small batch may have to wait for. */
export const SEAL_CHUNK = 250;

interface UnfrozenRow {
  readonly id: ProofId;
  readonly tenant_id: TenantId;
  readonly submission_id: SubmissionId;
  readonly ordinal: number;
  readonly digest_alg: DigestAlgorithm;
  readonly digest: Uint8Array;
  readonly reference: string | null;
  readonly reference_salt: Uint8Array | null;
  readonly metadata: unknown;
  readonly metadata_salt: Uint8Array | null;
  readonly received_at: string;
  /** The place in the batch that is free for the first of them. */
  readonly first: number;
}

/** Where freezing stopped, in the order in which members are frozen. */
export interface FrozenUpTo {
  readonly receivedAt: string;
  readonly submission: SubmissionId;
  readonly ordinal: number;
}

/**
 * Freezes the statements of at most `SEAL_CHUNK` members that have none, kid and version included, under the batch's
 * row lock. Returns them, in order, and where it stopped if there may be more. Key (proof): a frozen statement is never
 * written again.
 */
export async function freezeStatements(
  tx: Tx,
  input: {
    readonly batch: BatchId;
    readonly kid: string;
    readonly version: number;
    readonly randomBytes: (n: number) => Uint8Array;
    /** Only members of these submissions, which joined just now; absent, all that have no statement. */
    readonly joined?: readonly SubmissionId[] | undefined;
    /** Only members behind this one. */
    readonly after?: FrozenUpTo | undefined;
  },
): Promise<{ readonly frozen: readonly Unsealed[]; readonly after: FrozenUpTo | undefined }> {
  const { batch, kid, version, joined, after } = input;
  if (joined?.length === 0) return { frozen: [], after: undefined };
  await tx.query('SELECT FROM batches WHERE id = $1 FOR UPDATE', [batch]);
  const { rows } = await tx.query<UnfrozenRow>(joined === undefined ? NEXT_MEMBERS : NEXT_JOINED, [
    batch,
    SEAL_CHUNK,
    after?.receivedAt ?? '-infinity',
    after?.submission ?? FIRST_ID,
    after?.ordinal ?? -1,
    ...(joined === undefined ? [] : [joined]),
  ]);
  const last = rows.at(-1);
  if (last === undefined) return { frozen: [], after: undefined };
  const first = last.first;
  const frozen = rows.map((row, n) => ({
    proofId: row.id,
    ordinal: first + n,
    kid,
    version,
    statement: canonicalText(statementOf(row, input)),
  }));
  await tx.query(
    `INSERT INTO seals (proof_id, tenant_id, batch_id, ordinal, kid, version, statement)
     SELECT u.proof, u.tenant, $1, $2::int + (u.n - 1)::int, $3, $4, u.statement
     FROM unnest($5::uuid[], $6::uuid[], $7::text[]) WITH ORDINALITY AS u (proof, tenant, statement, n)`,
    [batch, first, kid, version, rows.map((r) => r.id), rows.map((r) => r.tenant_id), frozen.map((f) => f.statement)],
  );
  return {
    frozen,
    after:
      rows.length < SEAL_CHUNK
        ? undefined
        : { receivedAt: last.received_at, submission: last.submission_id, ordinal: last.ordinal },
  };
}

const FIRST_ID = '00000000-0000-0000-0000-000000000000';

/** Of a member `p`: it has no end, and no retry for which it left the batch. */
const IS_OPEN = "p.state = 'RECEIVED' AND NOT EXISTS (SELECT FROM retry_queue q WHERE q.proof_id = p.id OFFSET 0)";
const UNFROZEN = `${IS_OPEN} AND NOT EXISTS (SELECT FROM seals z WHERE z.proof_id = p.id OFFSET 0)`;
// Submissions are walked in their order, and each one's proofs in theirs, until the chunk is full: a batch of any size is
// read once, not once a chunk. LIMIT and OFFSET keep the planner, whatever it believes of the sizes, from joining tables whole.
const nextOf = (submissions: string): string => `
    SELECT p.* FROM ${submissions} CROSS JOIN LATERAL (
      SELECT p.* FROM proofs p WHERE p.submission_id = s.id AND p.ordinal > CASE s.id WHEN $4 THEN $5 ELSE -1 END AND p.batch_id IS NULL
        AND ${UNFROZEN} ORDER BY p.ordinal LIMIT $2) p
    WHERE (s.received_at, s.id) >= ($3, $4) ORDER BY s.received_at, s.id, p.ordinal LIMIT $2`;
const CHOSEN = `id, tenant_id, submission_id, ordinal, digest_alg, digest, reference, reference_salt, metadata, metadata_salt, received_at,
    (SELECT coalesce(max(ordinal) + 1, 0) FROM seals WHERE batch_id = $1) AS first`;
const NEXT_MEMBERS = `
  SELECT ${CHOSEN} FROM (
    (${nextOf('(SELECT * FROM submissions WHERE batch_id = $1) s')})
    UNION ALL (
    SELECT p.* FROM proofs p WHERE p.batch_id = $1 AND (p.received_at, p.submission_id, p.ordinal) > ($3, $4, $5) AND ${UNFROZEN}
    ORDER BY p.received_at, p.submission_id, p.ordinal LIMIT $2)) p
  ORDER BY received_at, submission_id, ordinal LIMIT $2`;
// Asked for its batch as well, each submission would be looked up among all of its batch.
const NEXT_JOINED = `
  SELECT ${CHOSEN} FROM (${nextOf(`(
      SELECT s.id, s.received_at FROM unnest($6::uuid[]) AS j (id) CROSS JOIN LATERAL (SELECT * FROM submissions WHERE id = j.id OFFSET 0) s
      WHERE s.batch_id = $1 ORDER BY s.received_at, s.id OFFSET 0) s`)}) p`;

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

/**
 * Whether a member has neither a seal nor another end. Once nobody may join any more, whoever has one keeps it: then a no
 * stays a no.
 */
export async function hasUnsealed(db: Db, batch: BatchId): Promise<boolean> {
  const { rows } = await db.query<{ found: boolean }>(
    `SELECT EXISTS (
         SELECT FROM submissions s CROSS JOIN LATERAL (
           SELECT FROM proofs p WHERE p.submission_id = s.id AND p.batch_id IS NULL AND ${IS_OPEN} LIMIT 1) p WHERE s.batch_id = $1)
       OR EXISTS (SELECT FROM proofs p WHERE p.batch_id = $1 AND ${IS_OPEN}) AS found`,
    [batch],
  );
  return rows[0]?.found === true;
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

// Another statement may have been frozen meanwhile, by the next key version or the next batch: a signature is not its.
// What is given is walked in the order of the ids, which is that of the locks, one index probe a row: left to choose, the
// planner joins sets of which it knows nothing by comparing each with each. Leaves are queued in the order of the batch.
const STORE = `
  WITH given AS (
    SELECT * FROM unnest($2::uuid[], $3::int[], $4::text[], $5::bytea[], $6::bytea[]) AS u (proof_id, n, statement, signature, leaf)
  ), open AS MATERIALIZED (
    SELECT p.id, p.tenant_id, g.signature, g.leaf, g.n FROM given g
    CROSS JOIN LATERAL (
      SELECT FROM seals s WHERE s.proof_id = g.proof_id AND s.signature IS NULL AND s.statement = g.statement OFFSET 0) s
    CROSS JOIN LATERAL (
      SELECT p.id, p.tenant_id FROM proofs p WHERE p.id = g.proof_id AND p.state = 'RECEIVED' OFFSET 0 FOR UPDATE) p
  ), sealed AS (
    UPDATE seals s SET signature = o.signature, sealed_at = $7 FROM open o WHERE s.proof_id = o.id
  ), moved AS (
    UPDATE proofs p SET state = 'SEALED' FROM open o WHERE p.id = o.id
  ), queued AS (
    INSERT INTO leaf_queue (proof_id, batch_id, tenant_id, leaf) SELECT id, $1, tenant_id, leaf FROM open ORDER BY n
  ), counted AS (
    UPDATE batches SET leaves_pending = leaves_pending + (SELECT count(*) FROM open) WHERE id = $1
  ), rung AS MATERIALIZED (
    SELECT pg_notify('proofline_leaf', '')
  )
  SELECT o.id, o.tenant_id AS tenant FROM open o, rung ORDER BY o.n`;

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
    /**
     * Others may yet join the batch, or have their statements frozen: the timeline names who was sealed, since `all` would
     * come to mean them too.
     */
    readonly mayGrow?: boolean;
  },
): Promise<number> {
  const { batch, now } = input;
  const seals = input.seals.map((seal, n) => ({ ...seal, n })).sort((a, b) => (a.proofId < b.proofId ? -1 : 1));
  return inTransaction(db, async (tx) => {
    await tx.query('SELECT FROM batches WHERE id = $1 FOR UPDATE', [batch]);
    const { rows: sealed } = await tx.query<{ id: ProofId; tenant: TenantId }>(STORE, [
      batch,
      seals.map((seal) => seal.proofId),
      seals.map((seal) => seal.n),
      seals.map((seal) => seal.statement),
      seals.map((seal) => Buffer.from(seal.signature)),
      seals.map((seal) => Buffer.from(leafOf(seal))),
      now,
    ]);
    if (sealed.length > 0) await appendSealed(tx, batch, sealed, now, input.mayGrow ?? false);
    return sealed.length;
  });
}

function leafOf(seal: Unsealed & { readonly signature: Uint8Array }): Uint8Array {
  return leafDataOfText(seal.statement, formatSeal(sealHeader(seal.kid, seal.version), seal.signature));
}

/** A chunk is rarely the whole batch, so its rows name the proofs unless the batch fits in one chunk. */
async function appendSealed(
  tx: Tx,
  batch: BatchId,
  sealed: readonly { readonly id: ProofId; readonly tenant: TenantId }[],
  at: string,
  mayGrow: boolean,
): Promise<void> {
  const moved = new Map<TenantId, ProofId[]>();
  for (const { id, tenant } of sealed) {
    const of = moved.get(tenant);
    if (of === undefined) moved.set(tenant, [id]);
    else of.push(id);
  }
  const described = mayGrow
    ? new Map([...moved].map(([tenant, members]) => [tenant, { members }]))
    : await describeMoved(tx, batch, moved);
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
    const { rows } = await tx.query<{ id: ProofId; tenant_id: TenantId; submission_id: SubmissionId; code: string }>(
      `UPDATE proofs p SET state = 'FAILED', failure = jsonb_build_object('stage', $2::text, 'code', f.code, 'detail', f.detail, 'at', $3::text)
       FROM jsonb_to_recordset($1) AS f ("proofId" uuid, code text, detail text)
       WHERE p.id = f."proofId" AND p.state = ANY ($4::proof_state[])
         AND NOT EXISTS (SELECT FROM certificates c WHERE c.proof_id = p.id)
       RETURNING p.id, p.tenant_id, p.submission_id, f.code`,
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
    await ringDone(tx, [...new Set(rows.flatMap((row) => [row.id, row.submission_id]))]);
    return rows.length;
  });
}
