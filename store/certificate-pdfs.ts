/** PDFs of certificates: levels asked for and stored, each file once, under its SHA-256. */
import { createHash } from 'node:crypto';
import type { ProofId, TenantId } from '../domain/ids.ts';
import { type CertificateLevel, nextLevel } from '../domain/pdf-level.ts';
import { type Db, inTransaction, type Queryable, type Tx } from './pool.ts';
import { ringDone } from './ring-done.ts';

/**
 * Makes the row of a level unless it is there and returns when it was asked for, the claimed time of its signature. Key
 * (proof, level). Undefined when the proof has no signed certificate.
 */
export async function ensureLevel(
  db: Queryable,
  proof: ProofId,
  level: CertificateLevel,
  now: string,
): Promise<string | undefined> {
  const { rows } = await db.query<{ requested_at: string }>(
    `INSERT INTO certificate_pdfs AS p (proof_id, level, tenant_id, requested_at, due_at, started_at)
     SELECT proof_id, $2, tenant_id, $3, $3, $3 FROM certificates WHERE proof_id = $1 AND signature IS NOT NULL
     ON CONFLICT (proof_id, level) DO UPDATE SET started_at = coalesce(p.started_at, $3) RETURNING requested_at`,
    [proof, level, now],
  );
  return rows[0]?.requested_at;
}

/** Puts a level off until `dueAt`: its lists are not there yet. Its workflow ends, another is started then. Key (proof, level). */
export async function deferLevel(db: Queryable, proof: ProofId, level: CertificateLevel, dueAt: string): Promise<void> {
  await db.query(
    'UPDATE certificate_pdfs SET due_at = $3, deferred_at = now(), started_at = NULL WHERE proof_id = $1 AND level = $2 AND sha256 IS NULL',
    [proof, level, dueAt],
  );
}

export interface StoredLevel {
  readonly tenant: TenantId;
  readonly bytes: Uint8Array;
  readonly sha256: Uint8Array;
  /** Of B-T: the signer's certificates, DER. */
  readonly chain: readonly Uint8Array[];
  /** The level's token and its time; absent from B-LT. */
  readonly token?: Uint8Array;
  readonly genTime?: string;
}

/** A level as it is stored, undefined before that. */
export async function readLevel(
  db: Queryable,
  proof: ProofId,
  level: CertificateLevel,
): Promise<StoredLevel | undefined> {
  const { rows } = await db.query(
    `SELECT p.tenant_id, p.sha256, p.chain, p.token, p.gen_time, f.bytes
     FROM certificate_pdfs p JOIN pdf_files f ON f.sha256 = p.sha256 WHERE p.proof_id = $1 AND p.level = $2`,
    [proof, level],
  );
  const [row] = rows;
  if (row === undefined) return undefined;
  return {
    tenant: row.tenant_id,
    bytes: row.bytes,
    sha256: row.sha256,
    chain: row.chain ?? [],
    ...(row.token === null ? {} : { token: row.token, genTime: row.gen_time }),
  };
}

export async function isLevelStored(db: Queryable, proof: ProofId, level: CertificateLevel): Promise<boolean> {
  const { rowCount } = await db.query(
    'SELECT FROM certificate_pdfs WHERE proof_id = $1 AND level = $2 AND sha256 IS NOT NULL',
    [proof, level],
  );
  return rowCount === 1;
}

export interface NewLevel {
  readonly proof: ProofId;
  readonly level: CertificateLevel;
  readonly bytes: Uint8Array;
  /** RFC 3339, µs. */
  readonly now: string;
  /** When the next level is due. */
  readonly nextDueAt: string;
}

/**
 * Stores a level, ends its work, writes `certificate.rendered` and the row of the next level. Key (proof, level): the first
 * stored file wins. Locks the level's row, nothing else that others lock.
 */
export function storeLevel(db: Db, input: NewLevel): Promise<'stored' | 'kept-earlier'> {
  const { proof, level, bytes, now, nextDueAt } = input;
  const sha256 = createHash('sha256').update(bytes).digest();
  return inTransaction(db, async (tx) => {
    const { rows } = await tx.query<{ tenant_id: TenantId; stored_at: string | null }>(
      'SELECT tenant_id, stored_at FROM certificate_pdfs WHERE proof_id = $1 AND level = $2 FOR UPDATE',
      [proof, level],
    );
    const [row] = rows;
    if (row === undefined) throw new Error(`no row of ${proof} ${level}`);
    await tx.query('DELETE FROM pdf_work WHERE proof_id = $1 AND level = $2', [proof, level]);
    if (row.stored_at !== null) return 'kept-earlier';
    await tx.query(
      'INSERT INTO pdf_files (sha256, tenant_id, bytes, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (sha256) DO NOTHING',
      [sha256, row.tenant_id, bytes, now],
    );
    await tx.query(
      'UPDATE certificate_pdfs SET sha256 = $3, size = $4, stored_at = $5 WHERE proof_id = $1 AND level = $2',
      [proof, level, sha256, bytes.length, now],
    );
    await tx.query(
      `INSERT INTO certificate_pdfs (proof_id, level, tenant_id, requested_at, due_at) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT (proof_id, level) DO NOTHING`,
      [proof, nextLevel(level), row.tenant_id, now, nextDueAt],
    );
    await tx.query(
      `INSERT INTO events (at, type, tenant_id, members, payload) VALUES ($1, 'certificate.rendered', $2, ARRAY[$3::uuid], $4)`,
      [now, row.tenant_id, proof, { proof, level, sha256: sha256.toString('hex'), size: bytes.length }],
    );
    await ringDone(tx, [proof]);
    return 'stored';
  });
}

/** Levels for certificates that were just signed, of the tenants that want their PDF at once. */
export async function requestEagerPdfs(
  tx: Tx,
  tenants: readonly TenantId[],
  proofs: readonly ProofId[],
  now: string,
): Promise<void> {
  await tx.query(
    `INSERT INTO certificate_pdfs (proof_id, level, tenant_id, requested_at, due_at)
     SELECT c.proof_id, 'B-T', c.tenant_id, $3, $3 FROM tenants t
     JOIN certificates c ON c.tenant_id = t.id AND c.proof_id = ANY ($2::uuid[])
     WHERE t.id = ANY ($1::uuid[]) AND t.eager_pdf ORDER BY c.proof_id ON CONFLICT DO NOTHING`,
    [tenants, proofs, now],
  );
}

export interface OpenLevel {
  readonly proofId: ProofId;
  readonly level: CertificateLevel;
}

/** Levels started before `before` and not stored, in (proof, level) order behind `after`; at most `limit`. */
export async function readOpenLevels(
  db: Queryable,
  before: string,
  after: OpenLevel | undefined,
  limit: number,
): Promise<readonly OpenLevel[]> {
  const { rows } = await db.query<OpenLevel>(
    `SELECT proof_id AS "proofId", level FROM certificate_pdfs
     WHERE sha256 IS NULL AND started_at < $1 AND (proof_id, level) > ($2::uuid, $3) ORDER BY proof_id, level LIMIT $4`,
    [before, after?.proofId ?? '00000000-0000-0000-0000-000000000000', after?.level ?? '', limit],
  );
  return rows;
}
