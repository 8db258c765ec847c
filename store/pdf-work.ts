/** A PDF level under way: what is persisted between its phases, so that a process may die between any two. */
import { ProoflineError } from '../domain/errors.ts';
import type { ProofId } from '../domain/ids.ts';
import type { CertificateLevel } from '../domain/pdf-level.ts';
import { type Db, inTransaction, type Queryable } from './pool.ts';

export interface SignedWork {
  readonly kid: string;
  readonly version: number;
  readonly alg: 'ES256' | 'RS256' | 'PS256';
  readonly attributes: Uint8Array;
  readonly signature: Uint8Array;
  /** DER, the signer's first. */
  readonly chain: readonly Uint8Array[];
}

export interface PdfWork {
  /** The file with its empty slot. */
  readonly prepared: Uint8Array;
  readonly slotBytes: number;
  /** What the level's token covers. */
  readonly imprint: Uint8Array;
  /** Of B-T alone. */
  readonly signed?: SignedWork;
}

/** Keeps the first work of a level. Key (proof, level). */
export function storeWork(
  db: Db,
  proof: ProofId,
  level: CertificateLevel,
  work: PdfWork,
  now: string,
): Promise<'stored' | 'kept-earlier'> {
  const { signed } = work;
  return inTransaction(db, async (tx) => {
    const { rowCount } = await tx.query(
      `INSERT INTO pdf_work (proof_id, level, tenant_id, prepared, slot_bytes, imprint, kid, version, alg, attributes, signature, created_at)
       SELECT p.proof_id, p.level, p.tenant_id, $3, $4, $5, $6, $7, $8, $9, $10, $11 FROM certificate_pdfs p
       WHERE p.proof_id = $1 AND p.level = $2 AND p.sha256 IS NULL ON CONFLICT (proof_id, level) DO NOTHING`,
      [
        proof,
        level,
        work.prepared,
        work.slotBytes,
        work.imprint,
        signed?.kid,
        signed?.version,
        signed?.alg,
        signed?.attributes,
        signed?.signature,
        now,
      ],
    );
    if (rowCount === 0) return 'kept-earlier';
    await tx.query('UPDATE certificate_pdfs SET chain = $3 WHERE proof_id = $1 AND level = $2', [
      proof,
      level,
      signed === undefined ? null : signed.chain.map((der) => Buffer.from(der)),
    ]);
    return 'stored';
  });
}

/** The work of a level, and the token once there is one; undefined before it is prepared and after it is stored. */
export async function readWork(
  db: Queryable,
  proof: ProofId,
  level: CertificateLevel,
): Promise<(PdfWork & { readonly token?: Uint8Array; readonly tokenEndsAt?: string }) | undefined> {
  const { rows } = await db.query(
    `SELECT w.*, p.token, p.token_ends_at, p.chain FROM pdf_work w JOIN certificate_pdfs p USING (proof_id, level)
     WHERE w.proof_id = $1 AND w.level = $2`,
    [proof, level],
  );
  const [row] = rows;
  if (row === undefined) return undefined;
  const { kid, version, alg, attributes, signature, chain } = row;
  return {
    prepared: row.prepared,
    slotBytes: row.slot_bytes,
    imprint: row.imprint,
    ...(signature === null ? {} : { signed: { kid, version, alg, attributes, signature, chain } }),
    ...(row.token === null ? {} : { token: row.token }),
    ...(row.token_ends_at === null ? {} : { tokenEndsAt: row.token_ends_at }),
  };
}

export interface LevelToken {
  readonly tsa: string;
  readonly token: Uint8Array;
  readonly serial: string;
  readonly genTime: string;
  /** End of the authority's certificate. */
  readonly endsAt: string;
}

/** Keeps the first token of a level. Key (proof, level). Throws TSA_BAD_TOKEN when the authority used the serial before. */
export async function storeLevelToken(
  db: Queryable,
  proof: ProofId,
  level: CertificateLevel,
  token: LevelToken,
): Promise<'stored' | 'kept-earlier'> {
  try {
    const { rowCount } = await db.query(
      `UPDATE certificate_pdfs SET token = $3, tsa = $4, serial = $5, gen_time = $6, token_ends_at = $7
       WHERE proof_id = $1 AND level = $2 AND token IS NULL`,
      [proof, level, token.token, token.tsa, token.serial, token.genTime, token.endsAt],
    );
    return rowCount === 1 ? 'stored' : 'kept-earlier';
  } catch (error) {
    throw error instanceof Error && (error as { code?: string }).code === '23505'
      ? new ProoflineError('TSA_BAD_TOKEN', `${token.tsa}: 13 SERIAL_REUSED: serial ${token.serial}`, { cause: error })
      : error;
  }
}

/** Throws the work of a level away, its token too: what did not fit into its slot is signed anew with another. */
export function discardWork(db: Db, proof: ProofId, level: CertificateLevel): Promise<void> {
  return inTransaction(db, async (tx) => {
    await tx.query(
      `UPDATE certificate_pdfs SET token = NULL, tsa = NULL, serial = NULL, gen_time = NULL, token_ends_at = NULL, chain = NULL
       WHERE proof_id = $1 AND level = $2 AND sha256 IS NULL`,
      [proof, level],
    );
    await tx.query('DELETE FROM pdf_work WHERE proof_id = $1 AND level = $2', [proof, level]);
  });
}
