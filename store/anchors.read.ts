/** What the API shows of anchors: to operators each with its attempts and what was decided, to an owner that of a proof. */
import type { HcsAnchorEntry } from '../domain/bundle.ts';
import type { ProofId } from '../domain/ids.ts';
import type { AnchorWindow } from '../domain/states.ts';
import type { SuspectEvidence } from './anchor-commands.ts';
import type { AnchorKey, AnchorState } from './anchors.ts';
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

/** One page of a log's anchors, largest first, below a size if given. As proofline_api. */
export async function listAnchors(
  db: Queryable,
  { origin, state, below, limit }: { origin: string; state?: AnchorState; below?: bigint; limit: number },
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

export interface AnchorDetail extends AnchorSummary {
  /** Newest first. */
  readonly attempts: readonly AttemptRecord[];
  readonly commands: readonly AnchorCommandRecord[];
}

/** As proofline_api, for operators: undefined if there is no such anchor. */
export async function readAnchorDetail(db: Queryable, { origin, size }: AnchorKey): Promise<AnchorDetail | undefined> {
  const key = [origin, size.toString()];
  // First, so that the anchor below already shows what a command that is decided did.
  const commands = await ask<AnchorCommandRecord>(
    db,
    `SELECT id, verb, actor, reason, evidence, state, code, detail, created_at AS "createdAt", finished_at AS "finishedAt"
     FROM read_anchor_commands($1, $2::bigint)`,
    key,
  );
  const [anchor] = await ask<AnchorSummary>(
    db,
    `SELECT ${SUMMARY} FROM anchors WHERE origin = $1 AND size = $2::bigint`,
    key,
  );
  if (anchor === undefined) return undefined;
  const attempts = await ask<AttemptRecord>(
    db,
    `SELECT attempt, state, transaction_id AS "transactionId", failure ->> 'status' AS status, coalesce(confirmation -> 'mirrors', '[]') AS mirrors,
       updated_at AS "updatedAt" FROM read_anchor_attempts($1, $2::bigint)`,
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

async function ask<Row extends object>(db: Queryable, sql: string, values: readonly unknown[]): Promise<Row[]> {
  try {
    return (await db.query<Row>(sql, [...values])).rows;
  } catch (error) {
    throw asStoreError(error);
  }
}
