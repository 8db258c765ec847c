/** PDFs as the API reads them, in a tenant's scope. */
import type { ProofId } from '../domain/ids.ts';
import type { CertificateLevel } from '../domain/pdf-level.ts';
import type { Queryable } from './pool.ts';

/** Of one proof's B-LTA files the newest stands for all. */
const IS_OF_LEVEL = `($2 = level OR ($2 = 'B-LTA' AND level LIKE 'B-LTA.%'))`;

/** The newest stored file of a level, or of any level where none is named. */
export async function readPdf(
  tx: Queryable,
  proof: ProofId,
  level: CertificateLevel | undefined,
): Promise<{ readonly level: CertificateLevel; readonly sha256: Uint8Array; readonly bytes: Uint8Array } | undefined> {
  const { rows } = await tx.query(
    `SELECT p.level, p.sha256, f.bytes FROM certificate_pdfs p JOIN pdf_files f ON f.sha256 = p.sha256
     WHERE p.proof_id = $1 AND ($2::text IS NULL OR ${IS_OF_LEVEL}) ORDER BY p.size DESC LIMIT 1`,
    [proof, level ?? null],
  );
  return rows[0];
}

/** Asks for a level of the tenant's own proof; repeating it does nothing. */
export async function requestPdf(
  tx: Queryable,
  proof: ProofId,
  level: CertificateLevel,
  now: string,
): Promise<'requested' | 'not-certified' | 'unknown'> {
  const asked = await tx.query('SELECT FROM request_certificate_pdf($1, $2, $3)', [proof, level, now]);
  if (asked.rowCount === 1) return 'requested';
  const { rowCount } = await tx.query('SELECT FROM proofs WHERE id = $1', [proof]);
  return rowCount === 1 ? 'not-certified' : 'unknown';
}

/** Of `proof/level` texts those that are stored. */
export async function storedPdfs(tx: Queryable, wanted: readonly string[]): Promise<readonly string[]> {
  const { rows } = await tx.query<{ id: string }>(
    `SELECT w AS id FROM unnest($1::text[]) AS w JOIN certificate_pdfs p
       ON p.proof_id = split_part(w, '/', 1)::uuid AND p.level = split_part(w, '/', 2) WHERE p.sha256 IS NOT NULL`,
    [wanted],
  );
  return rows.map((row) => row.id);
}
