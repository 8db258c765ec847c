import type { AnchorEntry } from '../domain/bundle.ts';
import { toBase64Url, toHex } from '../domain/bytes.ts';
import { canonicalText } from '../domain/canonical-json.ts';
import {
  CERTIFICATE_TYPE,
  type CertificateAnchor,
  type CertificatePayload,
  NO_ANCHOR_WORDS,
  nameAnchor,
} from '../domain/certificate.ts';
import type { DigestAlgorithm } from '../domain/digest.ts';
import type { BatchId, ProofId, TenantId } from '../domain/ids.ts';
import type { AnchorPolicy, ProofState } from '../domain/states.ts';
import { readCarryingEntries } from './contract-anchors.ts';
import type { Tx } from './pool.ts';

/** Where a proof stands in the log, and the first timestamp and anchor that cover it now. */
export interface Coverage {
  readonly index: bigint;
  /** 32 bytes. */
  readonly leaf: Uint8Array;
  readonly timestamp: TimestampEvidence;
  readonly anchor?: AnchorEvidence;
}

interface TimestampEvidence {
  readonly size: bigint;
  readonly log: { readonly size: string; readonly root: string };
  readonly named: CertificatePayload['timestamp'];
}

interface AnchorEvidence {
  readonly size: bigint;
  readonly named: CertificateAnchor;
}

/** A proof that has its licence unit and gets its certificate drafted. */
export interface ProofToDraft {
  readonly id: ProofId;
  readonly batchId: BatchId;
  readonly alg: DigestAlgorithm;
  readonly digest: Uint8Array;
  readonly anchorPolicy: AnchorPolicy;
  readonly grantId: string;
  /** Which of the grant's periods, from 0. */
  readonly period: number;
  readonly coverage: Coverage;
}

// Two index probes a proof: the smallest covering size stays the smallest, since sizes only grow.
const COVERAGE = `
  SELECT l.proof_id, l.index, l.leaf, ts.size AS timestamp_size, an.size AS anchor_size
  FROM leaves l
  CROSS JOIN LATERAL (SELECT t.size FROM timestamps t WHERE t.origin = $2 AND t.size > l.index ORDER BY t.size LIMIT 1) ts
  LEFT JOIN LATERAL (
    SELECT a.size FROM anchors a WHERE a.origin = $2 AND a.state = 'VERIFIED' AND a.size > l.index ORDER BY a.size LIMIT 1) an ON true
  WHERE l.proof_id = ANY ($1::uuid[])`;

/**
 * The evidence of those of the proofs that a timestamp covers. What the proofs share (tokens, roots, anchor entries)
 * is read once, however many proofs there are.
 */
export async function readCoverage(
  tx: Tx,
  origin: string,
  proofs: readonly ProofId[],
): Promise<ReadonlyMap<ProofId, Coverage>> {
  const { rows } = await tx.query<{
    proof_id: ProofId;
    index: bigint;
    leaf: Uint8Array;
    timestamp_size: bigint;
    anchor_size: bigint | null;
  }>(COVERAGE, [proofs, origin]);
  const timestamps = await readTimestamps(
    tx,
    origin,
    rows.map((row) => row.timestamp_size),
  );
  const carried = await readCarried(
    tx,
    origin,
    rows.filter((row) => row.anchor_size === null).map((row) => row.index),
  );
  const anchors = await readAnchors(
    tx,
    origin,
    rows.flatMap((row) => row.anchor_size ?? []),
  );
  const covered = new Map<ProofId, Coverage>();
  for (const row of rows) {
    const timestamp = timestamps.get(row.timestamp_size);
    const anchor = row.anchor_size === null ? carried.get(row.index) : anchors.get(row.anchor_size);
    if (timestamp === undefined) continue;
    covered.set(row.proof_id, {
      index: row.index,
      leaf: row.leaf,
      timestamp,
      ...(anchor !== undefined && { anchor }),
    });
  }
  return covered;
}

async function readTimestamps(
  tx: Tx,
  origin: string,
  sizes: readonly bigint[],
): Promise<Map<bigint, TimestampEvidence>> {
  const { rows } = await tx.query<{
    size: bigint;
    tsa: string;
    token_sha256: Uint8Array;
    gen_time: string;
    root: Uint8Array;
  }>(
    `SELECT t.size, t.tsa, t.token_sha256, t.gen_time, c.root FROM timestamps t JOIN checkpoints c ON c.origin = t.origin AND c.size = t.size
     WHERE t.origin = $1 AND t.size = ANY ($2::bigint[])`,
    [origin, distinct(sizes)],
  );
  return new Map(
    rows.map((row) => [
      row.size,
      {
        size: row.size,
        log: { size: row.size.toString(), root: toBase64Url(row.root) },
        named: { tsa: row.tsa, tokenSha256: toHex(row.token_sha256), time: row.gen_time },
      },
    ]),
  );
}

/** Where no topic is written to, proofs rest on the registry contract. */
async function readCarried(tx: Tx, origin: string, indices: readonly bigint[]): Promise<Map<bigint, AnchorEvidence>> {
  const entries = await readCarryingEntries(tx, origin, indices);
  return new Map([...entries].map(([index, { size, entry }]) => [index, { size, named: nameAnchor(entry) }]));
}

async function readAnchors(tx: Tx, origin: string, sizes: readonly bigint[]): Promise<Map<bigint, AnchorEvidence>> {
  if (sizes.length === 0) return new Map();
  const { rows } = await tx.query<{ size: bigint; entry: AnchorEntry }>(
    `SELECT size, entry FROM anchors WHERE origin = $1 AND size = ANY ($2::bigint[]) AND state = 'VERIFIED' AND entry IS NOT NULL`,
    [origin, distinct(sizes)],
  );
  return new Map(
    rows.map(({ size, entry }) => [
      size,
      {
        size,
        named: nameAnchor(entry),
      },
    ]),
  );
}

function distinct(sizes: readonly bigint[]): readonly string[] {
  return [...new Set(sizes)].map(String);
}

/**
 * Drafts the certificates: the point of no return for each proof. Numbers are `PL-<year>-<10 digits>`, the year that of
 * `at` in UTC; a transaction that rolls back leaves a gap. Key (proof): a second draft of a proof fails.
 */
export async function draftCertificates(
  tx: Tx,
  input: {
    readonly tenantId: TenantId;
    readonly origin: string;
    readonly publicUrl: string;
    readonly proofs: readonly ProofToDraft[];
    readonly at: string;
  },
): Promise<void> {
  const { rows: numbers } = await tx.query<{ n: bigint }>(
    "SELECT nextval('certificate_numbers') AS n FROM generate_series(1, $1::int)",
    [input.proofs.length],
  );
  const drafts = input.proofs.map((proof, i) => {
    const number = `PL-${input.at.slice(0, 4)}-${`${numbers[i]?.n}`.padStart(10, '0')}`;
    return { proof, number, payload: canonicalText(payloadOf(proof, number, input)), state: finalStateOf(proof) };
  });
  await tx.query(
    `INSERT INTO certificates (proof_id, tenant_id, batch_id, number, final_state, payload, timestamp_size, anchor_size, drafted_at)
     SELECT u.proof, $1, u.batch, u.number, u.state, u.payload, u.timestamp_size, u.anchor_size, $2
     FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::proof_state[], $7::text[], $8::bigint[], $9::bigint[])
       AS u (proof, batch, number, state, payload, timestamp_size, anchor_size)`,
    [
      input.tenantId,
      input.at,
      drafts.map((d) => d.proof.id),
      drafts.map((d) => d.proof.batchId),
      drafts.map((d) => d.number),
      drafts.map((d) => d.state),
      drafts.map((d) => d.payload),
      drafts.map((d) => d.proof.coverage.timestamp.size.toString()),
      drafts.map((d) => d.proof.coverage.anchor?.size.toString() ?? null),
    ],
  );
}

function finalStateOf(proof: ProofToDraft): ProofState {
  return proof.coverage.anchor === undefined ? 'CERTIFIED_NO_ANCHOR' : 'CERTIFIED';
}

function payloadOf(
  proof: ProofToDraft,
  number: string,
  input: { readonly tenantId: TenantId; readonly origin: string; readonly publicUrl: string; readonly at: string },
): CertificatePayload {
  const { coverage } = proof;
  const self = `${input.publicUrl}/v1/proofs/${proof.id}`;
  return {
    type: CERTIFICATE_TYPE,
    number,
    tenant: input.tenantId,
    proof: proof.id,
    digest: { alg: proof.alg, value: toHex(proof.digest) },
    leaf: toHex(coverage.leaf),
    log: { origin: input.origin, index: coverage.index.toString(), ...coverage.timestamp.log },
    timestamp: coverage.timestamp.named,
    anchorPolicy: proof.anchorPolicy,
    anchor: coverage.anchor?.named ?? { none: NO_ANCHOR_WORDS },
    licence: { grant: proof.grantId, period: `${proof.period}` },
    issuedAt: input.at,
    links: { proof: self, bundle: `${self}/bundle`, verify: `${input.publicUrl}/v1/verify/${proof.id}` },
  };
}
