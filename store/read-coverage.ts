import type { AnchorEntry } from '../domain/bundle.ts';
import { fromHex, toBase64Url } from '../domain/bytes.ts';
import { type CertificateAnchor, type CertificatePayload, nameAnchor } from '../domain/certificate.ts';
import type { ProofId } from '../domain/ids.ts';
import { arrayLiteral } from './array-literal.ts';
import type { Tx } from './pool.ts';

/** The first timestamp and anchor that cover a proof now. The same objects for every proof that they cover. */
export interface Coverage {
  readonly timestamp: TimestampEvidence;
  readonly anchor?: AnchorEvidence;
}

export interface TimestampEvidence {
  /** Decimal. */
  readonly size: string;
  /** Of the checkpoint that it stamps. */
  readonly root: string;
  readonly named: CertificatePayload['timestamp'];
}

export interface AnchorEvidence {
  /** Decimal. */
  readonly size: string;
  readonly named: CertificateAnchor;
}

export interface ReadCoverage {
  /** Those of the proofs that a timestamp covers. */
  readonly coverageOf: ReadonlyMap<ProofId, Coverage>;
  /** Those of the proofs that have their draft, and so their unit. */
  readonly drafted: ReadonlySet<ProofId>;
}

// Two index probes a proof: the smallest covering size stays the smallest, since sizes only grow. What proofs share
// (tokens, roots, anchor entries) is read once, however many proofs there are. Where no topic is written to, proofs rest
// on the registry contract; an anchor on the topic goes before it.
const COVERAGE = `
  WITH covered AS MATERIALIZED (
    SELECT l.proof_id, ts.size AS ts, coalesce(an.size, cn.size) AS an FROM leaves l
    CROSS JOIN LATERAL (SELECT t.size FROM timestamps t WHERE t.origin = $2 AND t.size > l.index ORDER BY t.size LIMIT 1) ts
    LEFT JOIN LATERAL (
      SELECT a.size FROM anchors a WHERE a.origin = $2 AND a.state = 'VERIFIED' AND a.size > l.index ORDER BY a.size LIMIT 1) an ON true
    LEFT JOIN LATERAL (
      SELECT a.size FROM contract_anchors a
      WHERE an.size IS NULL AND a.origin = $2 AND a.state = 'VERIFIED' AND a.carries_proofs AND a.size > l.index ORDER BY a.size LIMIT 1) cn ON true
    WHERE l.proof_id = ANY ($1::uuid[])
  )
  SELECT
    (SELECT coalesce(json_agg(json_build_array(proof_id, ts::text, an::text)), '[]') FROM covered) AS proofs,
    (SELECT coalesce(json_agg(json_build_object('size', t.size::text, 'root', encode(c.root, 'hex'), 'tsa', t.tsa, 'token', encode(t.token_sha256, 'hex'),
       'time', to_char(t.gen_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))), '[]')
     FROM timestamps t JOIN checkpoints c ON c.origin = t.origin AND c.size = t.size
     WHERE t.origin = $2 AND t.size = ANY (ARRAY(SELECT DISTINCT ts FROM covered))) AS timestamps,
    (SELECT coalesce(json_agg(json_build_object('size', a.size::text, 'entry', a.entry)), '[]') FROM (
       SELECT size, entry FROM anchors WHERE origin = $2 AND state = 'VERIFIED' AND entry IS NOT NULL
       UNION ALL SELECT c.size, c.entry FROM contract_anchors c WHERE c.origin = $2 AND c.state = 'VERIFIED' AND c.carries_proofs
         AND NOT EXISTS (SELECT FROM anchors t WHERE t.origin = $2 AND t.size = c.size AND t.state = 'VERIFIED')) a
     WHERE a.size = ANY (ARRAY(SELECT DISTINCT an FROM covered WHERE an IS NOT NULL))) AS anchors,
    (SELECT coalesce(json_agg(c.proof_id), '[]') FROM certificates c WHERE c.proof_id = ANY ($1::uuid[])) AS drafted`;

/** The evidence that covers the proofs, and which of them are drafted. One query. */
export async function readCoverage(tx: Tx, origin: string, proofs: readonly ProofId[]): Promise<ReadCoverage> {
  const { rows } = await tx.query<{
    proofs: readonly [ProofId, string, string | null][];
    timestamps: readonly { size: string; root: string; tsa: string; token: string; time: string }[];
    anchors: readonly { size: string; entry: AnchorEntry }[];
    drafted: readonly ProofId[];
  }>(COVERAGE, [arrayLiteral(proofs), origin]);
  const row = rows[0] ?? { proofs: [], timestamps: [], anchors: [], drafted: [] };
  const timestamps = new Map<string, TimestampEvidence>(
    row.timestamps.map(({ size, root, tsa, token, time }) => [
      size,
      { size, root: toBase64Url(fromHex(root) ?? new Uint8Array(0)), named: { tsa, tokenSha256: token, time } },
    ]),
  );
  const anchors = new Map<string, AnchorEvidence>(
    row.anchors.map(({ size, entry }) => [size, { size, named: nameAnchor(entry) }]),
  );
  // One object for each pair, however many proofs it covers.
  const shared = new Map<string, Coverage>();
  const coverageOf = new Map<ProofId, Coverage>();
  for (const [id, ts, an] of row.proofs) {
    const timestamp = timestamps.get(ts);
    const anchor = an === null ? undefined : anchors.get(an);
    if (timestamp === undefined) continue;
    const key = `${ts}/${an}`;
    const coverage = shared.get(key) ?? { timestamp, ...(anchor !== undefined && { anchor }) };
    shared.set(key, coverage);
    coverageOf.set(id, coverage);
  }
  return { coverageOf, drafted: new Set(row.drafted) };
}
