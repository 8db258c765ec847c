/** What a certificate's page shows, read in one go. */
import type { AnchorEntry } from '../domain/bundle.ts';
import type { ProofId } from '../domain/ids.ts';
import type { Queryable } from './pool.ts';

export interface CertificateSource {
  /** The canonical JSON that the certificate signs. */
  readonly payload: string;
  readonly tenantName: string;
  readonly language: 'en' | 'fr';
  readonly brand: { readonly name?: string; readonly colour?: string; readonly logo?: string };
  readonly isTimestampSelfOperated: boolean;
  /** The first anchor that covers the proof, where the certificate was drafted without one. */
  readonly laterAnchor?: AnchorEntry;
}

/** As proofline_worker; undefined until the certificate is signed. */
export async function readCertificateSource(
  db: Queryable,
  origin: string,
  proof: ProofId,
): Promise<CertificateSource | undefined> {
  const { rows } = await db.query(
    `SELECT v.payload, t.name, t.language, t.brand, s.self_operated, a.entry FROM certificates c JOIN certificate_payloads v ON v.proof_id = c.proof_id
     JOIN tenants t ON t.id = c.tenant_id
     JOIN timestamps s ON s.origin = $1 AND s.size = c.timestamp_size
     LEFT JOIN leaves l ON l.proof_id = c.proof_id AND c.anchor_size IS NULL
     LEFT JOIN LATERAL (SELECT entry FROM anchors WHERE origin = $1 AND state = 'VERIFIED' AND size > l.index ORDER BY size LIMIT 1) a ON true
     WHERE c.proof_id = $2 AND c.signature IS NOT NULL`,
    [origin, proof],
  );
  const [row] = rows;
  if (row === undefined) return undefined;
  return {
    payload: row.payload,
    tenantName: row.name,
    language: row.language,
    brand: row.brand,
    isTimestampSelfOperated: row.self_operated,
    ...(row.entry === null ? {} : { laterAnchor: row.entry }),
  };
}
