/** What the API shows of anchors: to operators each with its attempts and what was decided, to an owner that of a proof. */
import type { HcsAnchorEntry } from '../domain/bundle.ts';
import type { ProofId } from '../domain/ids.ts';
import type { AnchorWindow } from '../domain/states.ts';
import type { SuspectEvidence } from './anchor-commands.ts';
import type { AnchorKey, AnchorMedium, AnchorState } from './anchors.ts';
import { asStoreError, type Queryable, type Tx } from './pool.ts';

export interface AnchorSummary {
  readonly size: bigint;
  readonly window: AnchorWindow;
  readonly state: AnchorState;
  readonly attempt: number;
  readonly entry: HcsAnchorEntry | null;
  readonly failure: { readonly status: string } | null;
  readonly feeTinybars: bigint | null;
  readonly newLeaves: bigint | null;
  readonly createdAt: string;
  readonly updatedAt: string;
}

const SUMMARY = `size, "window", state, attempt, entry, failure, fee_tinybars AS "feeTinybars", new_leaves AS "newLeaves",
  created_at AS "createdAt", updated_at AS "updatedAt"`;

export interface AnchorPage {
  readonly origin: string;
  readonly state?: AnchorState;
  /** Only smaller trees. */
  readonly below?: bigint;
  readonly limit: number;
}

/** One page of a log's anchors, largest first, below a size if given. As proofline_api. */
export async function listAnchors(
  db: Queryable,
  { origin, state, below, limit }: AnchorPage,
): Promise<readonly AnchorSummary[]> {
  return ask<AnchorSummary>(
    db,
    `SELECT ${SUMMARY} FROM anchors WHERE origin = $1 AND ($2::text IS NULL OR state = $2) AND ($3::bigint IS NULL OR size < $3::bigint) ORDER BY size DESC LIMIT $4`,
    [origin, state ?? null, below?.toString() ?? null, limit],
  );
}

export interface AttemptRecord {
  readonly attempt: number;
  readonly state: AnchorState;
  readonly transactionId: string;
  readonly status: string | null;
  readonly mirrors: readonly { readonly mirror: string; readonly verdict: string; readonly detail: string }[];
  readonly updatedAt: string;
}

export interface AnchorCommandRecord {
  readonly id: string;
  readonly verb: 'retry' | 'accept' | 'abandon';
  readonly actor: string;
  readonly reason: string;
  readonly evidence: SuspectEvidence | null;
  readonly state: 'PENDING' | 'APPLIED' | 'REFUSED';
  readonly code: string | null;
  readonly detail: string | null;
  readonly createdAt: string;
  readonly finishedAt: string | null;
}

export interface AnchorRecords {
  /** Newest first. */
  readonly attempts: readonly AttemptRecord[];
  readonly commands: readonly AnchorCommandRecord[];
}

export type AnchorDetail = AnchorSummary & AnchorRecords;

/** As proofline_api, for operators: undefined if there is no such anchor. */
export async function readAnchorDetail(db: Queryable, { origin, size }: AnchorKey): Promise<AnchorDetail | undefined> {
  return withRecords(db, 'hcs', { origin, size }, async () => {
    const sql = `SELECT ${SUMMARY} FROM anchors WHERE origin = $1 AND size = $2::bigint`;
    return (await ask<AnchorSummary>(db, sql, [origin, size.toString()]))[0];
  });
}

/** An anchor with its attempts and commands. As proofline_api; undefined if `read` finds none. */
export async function withRecords<Summary extends object>(
  db: Queryable,
  medium: AnchorMedium,
  { origin, size }: AnchorKey,
  read: () => Promise<Summary | undefined>,
): Promise<(Summary & AnchorRecords) | undefined> {
  const key = [medium, origin, size.toString()];
  // First, so that the anchor below already shows what a command that is decided did.
  const commands = await ask<AnchorCommandRecord>(
    db,
    `SELECT id, verb, actor, reason, evidence, state, code, detail, created_at AS "createdAt", finished_at AS "finishedAt"
     FROM read_anchor_commands($1, $2, $3::bigint)`,
    key,
  );
  const anchor = await read();
  if (anchor === undefined) return undefined;
  const attempts = await ask<AttemptRecord>(
    db,
    `SELECT attempt, state, transaction_id AS "transactionId", failure ->> 'status' AS status, coalesce(confirmation -> 'mirrors', '[]') AS mirrors,
       updated_at AS "updatedAt" FROM read_anchor_attempts($1, $2, $3::bigint)`,
    key,
  );
  return { ...anchor, attempts, commands };
}

/** The anchor that the bundle of a proof holds; undefined while it has none. Within `withTenant`. */
export async function readAnchorOfProof(tx: Tx, origin: string, proof: ProofId): Promise<AnchorSummary | undefined> {
  const [anchor] = await ask<AnchorSummary>(
    tx,
    `SELECT ${SUMMARY} FROM anchors WHERE origin = $1 AND size = (SELECT anchor_size FROM read_bundle($2)) AND state = 'VERIFIED'`,
    [origin, proof],
  );
  return anchor;
}

/** Rows of one statement; a store that is away is STORE_UNAVAILABLE. */
export async function ask<Row extends object>(db: Queryable, sql: string, values: readonly unknown[]): Promise<Row[]> {
  try {
    return (await db.query<Row>(sql, [...values])).rows;
  } catch (error) {
    throw asStoreError(error);
  }
}
