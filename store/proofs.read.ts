/** Reads of proofs, each within the tenant's scope. */
import { fromHex, toBase64Url, toHex } from '../domain/bytes.ts';
import type { Digest, DigestAlgorithm } from '../domain/digest.ts';
import type { Disclosure } from '../domain/disclosure.ts';
import type { BatchId, ProofId, SubmissionId, TenantId } from '../domain/ids.ts';
import type { AnchorPolicy, AnchorWindow, ProofState } from '../domain/states.ts';
import { asStoreError, type Queryable, type Tx } from './pool.ts';

export interface TimelineStep {
  readonly state: ProofState;
  readonly at: string;
}

export interface ProofRow {
  readonly id: ProofId;
  readonly submission: SubmissionId;
  readonly digest: Digest;
  readonly reference: string | null;
  readonly state: ProofState;
  readonly receivedAt: string;
  readonly certifiedAt: string | null;
  readonly failure: Readonly<Record<string, unknown>> | null;
  readonly anchorPolicy: AnchorPolicy;
  readonly anchorWindow: AnchorWindow;
  readonly batch: BatchId | null;
  /** The newest ten earlier proofs of the same digest, newest first. */
  readonly earlier: readonly ProofId[];
  /** Oldest first. */
  readonly steps: readonly TimelineStep[];
}

interface Selected extends Omit<ProofRow, 'digest' | 'steps'> {
  alg: DigestAlgorithm;
  digest: Uint8Array;
  /** State, time, state, time …, by spaces: one text is cheaper to write and to read than two arrays. */
  steps: string | null;
}

// (received_at, id) orders proofs of one microsecond, so that of two twins exactly one is the earlier. The order is that of
// proofs_digest and of no other index: in that of the tenant's list all of it would be read for each proof.
const SELECT_PROOFS = `
  SELECT p.id, p.submission_id AS submission, p.digest_alg AS alg, p.digest, p.reference, p.state, p.received_at AS "receivedAt",
    p.certified_at AS "certifiedAt", p.failure, p.anchor_policy AS "anchorPolicy", s.anchor_window AS "anchorWindow", coalesce(p.batch_id, s.batch_id) AS batch,
    ARRAY(SELECT e.id FROM proofs e WHERE e.tenant_id = p.tenant_id AND e.digest = p.digest AND e.received_at <= p.received_at
      AND (e.received_at, e.id) < (p.received_at, p.id) ORDER BY e.received_at DESC NULLS LAST, e.id DESC NULLS LAST LIMIT 10) AS earlier, t.steps
  FROM proofs p CROSS JOIN LATERAL (SELECT z.anchor_window, z.batch_id FROM submissions z WHERE z.id = p.submission_id OFFSET 0) s
  LEFT JOIN (
    SELECT l.proof_id, string_agg(l.state || to_char(l.at, ' YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), ' ' ORDER BY l.id) AS steps
    FROM proof_timelines($1) l
    -- An anchor after the certificate is a stage done; other notes are not.
    WHERE l.changes_state OR l.state = 'ANCHORED' GROUP BY l.proof_id) t ON t.proof_id = p.id
  WHERE p.id = ANY ($1::uuid[])`;

/** Those of the proofs that are of the tenant in scope; at most 500 are asked for. */
export async function readProofs(tx: Tx, ids: readonly ProofId[]): Promise<ReadonlyMap<ProofId, ProofRow>> {
  const { rows } = await tx.query<Selected>(SELECT_PROOFS, [ids]);
  return new Map(rows.map((row) => [row.id, toProof(row)]));
}

/** The proof, if it is of the tenant in scope. */
export async function readProof(tx: Tx, id: ProofId): Promise<ProofRow | undefined> {
  return (await readProofs(tx, [id])).get(id);
}

/** A place in the list: the last row of the page before. */
export interface ListPosition {
  readonly receivedAt: string;
  readonly id: ProofId;
}

export interface ListFilter {
  readonly state?: ProofState;
  /** Lower-case hex. */
  readonly digest?: string;
  readonly reference?: string;
  readonly after?: ListPosition;
  readonly limit: number;
}

/** One page of the tenant's proofs, newest first. */
export async function listProofs(tx: Tx, tenant: TenantId, filter: ListFilter): Promise<ProofRow[]> {
  const values: unknown[] = [tenant];
  const conditions = ['q.tenant_id = $1'];
  const where = (sql: (n: string) => string, value: unknown): void => {
    values.push(value);
    conditions.push(sql(`$${values.length}`));
  };
  if (filter.state !== undefined) where((n) => `q.state = ${n}`, filter.state);
  if (filter.digest !== undefined) where((n) => `q.digest = ${n}`, fromHex(filter.digest));
  if (filter.reference !== undefined) where((n) => `q.reference = ${n}`, filter.reference);
  if (filter.after !== undefined) {
    values.push(filter.after.receivedAt, filter.after.id);
    conditions.push(`(q.received_at, q.id) < ($${values.length - 1}::timestamptz, $${values.length}::uuid)`);
  }
  values.push(filter.limit);
  // The page is cut before timelines and earlier proofs are looked up, so their cost is bounded by the page.
  const { rows } = await tx.query<{ id: ProofId }>(
    `SELECT q.id FROM proofs q WHERE ${conditions.join(' AND ')} ORDER BY q.received_at DESC, q.id DESC LIMIT $${values.length}`,
    values,
  );
  const proofs = await readProofs(
    tx,
    rows.map(({ id }) => id),
  );
  return rows.flatMap(({ id }) => proofs.get(id) ?? []);
}

/**
 * Reference and metadata with their salts, if the proof is of the tenant in scope; undefined if it is not. A value
 * that was erased, or never given, is not in it.
 */
export async function readDisclosure(tx: Tx, id: ProofId): Promise<Disclosure | undefined> {
  const { rows } = await tx.query<{
    reference: string | null;
    reference_salt: Uint8Array | null;
    metadata: Readonly<Record<string, unknown>> | null;
    metadata_salt: Uint8Array | null;
  }>('SELECT reference, reference_salt, metadata, metadata_salt FROM proofs WHERE id = $1', [id]);
  const row = rows[0];
  if (row === undefined) return undefined;
  return {
    ...(row.reference !== null &&
      row.reference_salt !== null && { reference: row.reference, referenceSalt: toBase64Url(row.reference_salt) }),
    ...(row.metadata !== null &&
      row.metadata_salt !== null && { metadata: row.metadata, metadataSalt: toBase64Url(row.metadata_salt) }),
  };
}

export interface TimelineRow {
  readonly state: ProofState;
  readonly at: string;
  readonly changesState: boolean;
  readonly detail: Readonly<Record<string, unknown>> | null;
}

/** The life of one proof of the tenant in scope, oldest step first; empty if there is no such proof. */
export async function readTimeline(tx: Tx, id: ProofId): Promise<TimelineRow[]> {
  const { rows } = await tx.query<TimelineRow>(
    'SELECT state, at, changes_state AS "changesState", detail FROM proof_timeline($1) ORDER BY id',
    [id],
  );
  return rows;
}

/** The states of those of these proofs that the tenant in scope has. */
export async function readStates(tx: Tx, ids: readonly ProofId[]): Promise<ReadonlyMap<ProofId, ProofState>> {
  const { rows } = await tx.query<{ id: ProofId; state: ProofState }>(
    'SELECT id, state FROM proofs WHERE id = ANY ($1::uuid[])',
    [ids],
  );
  return new Map(rows.map(({ id, state }) => [id, state]));
}

/** Of these proofs of the tenant in scope, those that have reached an end, FAILED included. */
export async function finalProofs(tx: Tx, ids: readonly ProofId[]): Promise<ProofId[]> {
  const { rows } = await tx.query<{ id: ProofId }>(
    `SELECT id FROM proofs WHERE id = ANY ($1::uuid[])
       AND state NOT IN ('RECEIVED', 'SEALED', 'TIMESTAMPED', 'ANCHORED', 'AWAITING_LICENSE')`,
    [ids],
  );
  return rows.map(({ id }) => id);
}

/** Whose proof or submission this is, across tenants. For operators only; the caller checks the role first. */
export async function readOwner(db: Queryable, id: ProofId | SubmissionId): Promise<TenantId | undefined> {
  try {
    const { rows } = await db.query<{ owner: TenantId | null }>('SELECT owner_of($1) AS owner', [id]);
    return rows[0]?.owner ?? undefined;
  } catch (error) {
    throw asStoreError(error);
  }
}

/** The generation of a batch: which of its runs is under way. */
export async function readGeneration(tx: Queryable, batch: BatchId): Promise<number | undefined> {
  const { rows } = await tx.query<{ generation: number }>('SELECT generation FROM batches WHERE id = $1', [batch]);
  return rows[0]?.generation;
}

function toProof({ alg, digest, steps, ...row }: Selected): ProofRow {
  return { ...row, digest: { alg, value: toHex(digest) }, steps: parseSteps(steps ?? '') };
}

function parseSteps(text: string): readonly TimelineStep[] {
  const words = text.split(' ');
  const steps: TimelineStep[] = [];
  for (let i = 0; i + 1 < words.length; i += 2)
    steps.push({ state: words[i] as ProofState, at: words[i + 1] as string });
  return steps;
}
