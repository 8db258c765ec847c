/** What the API shows operators of anchors in the registry contract, each with its attempts and what was decided. */
import type { ContractAnchorEntry } from '../domain/bundle.ts';
import { type AnchorPage, type AnchorRecords, ask, withRecords } from './anchors.read.ts';
import type { AnchorKey, AnchorState } from './anchors.ts';
import type { Queryable } from './pool.ts';

export interface ContractAnchorSummary {
  readonly size: bigint;
  /** Whether proofs rest on it: where no topic is written to. */
  readonly carriesProofs: boolean;
  readonly state: AnchorState;
  readonly attempt: number;
  readonly entry: ContractAnchorEntry | null;
  readonly failure: { readonly status: string } | null;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export type ContractAnchorDetail = ContractAnchorSummary & AnchorRecords;

const SUMMARY = `size, carries_proofs AS "carriesProofs", state, attempt, entry, failure, created_at AS "createdAt", updated_at AS "updatedAt"`;

/** One page of a log's contract anchors, largest first, below a size if given. As proofline_api. */
export function listContractAnchors(
  db: Queryable,
  { origin, state, below, limit }: AnchorPage,
): Promise<readonly ContractAnchorSummary[]> {
  return ask<ContractAnchorSummary>(
    db,
    `SELECT ${SUMMARY} FROM contract_anchors
     WHERE origin = $1 AND ($2::text IS NULL OR state = $2) AND ($3::bigint IS NULL OR size < $3::bigint) ORDER BY size DESC LIMIT $4`,
    [origin, state ?? null, below?.toString() ?? null, limit],
  );
}

/** As proofline_api, for operators: undefined if there is no such anchor. */
export function readContractAnchorDetail(
  db: Queryable,
  { origin, size }: AnchorKey,
): Promise<ContractAnchorDetail | undefined> {
  return withRecords(db, 'contract', { origin, size }, async () => {
    const sql = `SELECT ${SUMMARY} FROM contract_anchors WHERE origin = $1 AND size = $2::bigint`;
    return (await ask<ContractAnchorSummary>(db, sql, [origin, size.toString()]))[0];
  });
}
