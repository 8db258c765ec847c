/** Requests for commands on proofs, as the API writes and reads them: through functions that check the tenant. */
import type { CommandVerb } from '../domain/commands.ts';
import type { ErrorCode } from '../domain/errors.ts';
import type { CommandId, ProofId, SubmissionId, TenantId } from '../domain/ids.ts';
import type { ProofState } from '../domain/states.ts';
import { asStoreError, type Queryable } from './pool.ts';

/** Which proofs a request means: of one tenant, in these states when their turn comes, received before the request. */
export interface CommandFilter {
  readonly tenant: TenantId;
  readonly states: readonly ProofState[];
  readonly submission?: SubmissionId;
  /** RFC 3339, inclusive. */
  readonly receivedFrom?: string;
  /** RFC 3339, exclusive. */
  readonly receivedTo?: string;
}

export interface CommandRequest {
  /** A new id: UUID. */
  readonly id: CommandId;
  readonly verb: CommandVerb;
  /** As the audit trail names them. */
  readonly actor: string;
  /** The tenant whose key asks; absent for an operator. */
  readonly tenantId?: TenantId;
  readonly reason: string;
  /** Distinct; at most `MAX_COMMANDS`. */
  readonly target: { readonly proofs: readonly ProofId[] } | { readonly filter: CommandFilter };
  readonly idempotencyKey?: string;
  /** 32 bytes. */
  readonly bodyHash: Uint8Array;
  /** RFC 3339 UTC with microseconds. */
  readonly at: string;
}

export type RequestOutcome =
  | { readonly outcome: 'created' | 'replayed'; readonly id: CommandId }
  /** The idempotency key was used with another body. */
  | { readonly outcome: 'mismatch' }
  /** Nothing was written: these are nobody's proofs, or another tenant's. */
  | { readonly outcome: 'unknown'; readonly unknown: readonly ProofId[] };

/** Proofs of a tenant that are counted while the asker waits, some tenths of a second; what lies behind is counted as it is expanded. */
const COUNT_ROWS = 200_000;

/**
 * Writes the request, its commands and their audit entry in one transaction. As proofline_api. Key (actor, idempotency key).
 * A filter is counted over the newest `countRows` proofs that it may mean.
 */
export async function requestCommands(
  db: Queryable,
  request: CommandRequest,
  countRows = COUNT_ROWS,
): Promise<RequestOutcome> {
  const { target } = request;
  const rows = await ask<{ outcome: RequestOutcome['outcome']; request: CommandId; unknown: ProofId[] }>(
    db,
    'SELECT * FROM request_proof_commands($1, $2, $3, $4, $5, $6::uuid[], $7, $8, $9, $10, $11)',
    [
      request.id,
      request.verb,
      request.actor,
      request.tenantId ?? null,
      request.reason,
      'proofs' in target ? target.proofs : null,
      'filter' in target ? JSON.stringify(target.filter) : null,
      request.idempotencyKey ?? null,
      request.bodyHash,
      request.at,
      countRows,
    ],
  );
  const row = rows[0];
  if (row === undefined) throw new Error('request_proof_commands answered nothing');
  if (row.outcome === 'unknown') return { outcome: 'unknown', unknown: row.unknown };
  return row.outcome === 'mismatch' ? { outcome: 'mismatch' } : { outcome: row.outcome, id: row.request };
}

export interface CommandRecord {
  readonly id: CommandId;
  readonly verb: CommandVerb;
  readonly actor: string;
  readonly reason: string;
  readonly by_filter: boolean;
  /** Proofs named, or matched by the filter: each as it was when the count came to it. */
  readonly matched: number;
  /** Whether `matched` is all of them; else they are at least so many. */
  readonly is_counted: boolean;
  readonly is_expanded: boolean;
  readonly created_at: string;
  readonly pending: number;
  readonly applied: number;
  readonly refused: number;
}

export interface CommandItem {
  readonly proof_id: ProofId;
  readonly state: 'PENDING' | 'APPLIED' | 'REFUSED';
  readonly code: ErrorCode | null;
  readonly detail: string | null;
  readonly finished_at: string | null;
}

/** Items of a filter that are shown: the first that were refused. A list shows all of its own. */
const SHOWN_REFUSALS = 100;

/** The request as it stands; undefined if there is none, or it is not the tenant's. Without `tenantId` the reader is an operator. */
export async function readCommands(
  db: Queryable,
  id: CommandId,
  tenantId: TenantId | undefined,
): Promise<{ readonly record: CommandRecord; readonly items: readonly CommandItem[] } | undefined> {
  const [record] = await ask<CommandRecord>(db, 'SELECT * FROM read_command_request($1, $2)', [id, tenantId ?? null]);
  if (record === undefined) return undefined;
  const items = await ask<CommandItem>(db, 'SELECT * FROM read_proof_commands($1, $2, $3, $4)', [
    id,
    tenantId ?? null,
    record.by_filter ? 'REFUSED' : null,
    record.by_filter ? SHOWN_REFUSALS : record.matched,
  ]);
  return { record, items };
}

/** Of these requests, those of which nothing is left to decide. */
export async function finishedCommands(db: Queryable, ids: readonly CommandId[]): Promise<CommandId[]> {
  const rows = await ask<{ id: CommandId }>(db, 'SELECT * FROM finished_command_requests($1::uuid[]) AS f (id)', [ids]);
  return rows.map(({ id }) => id);
}

async function ask<Row extends object>(db: Queryable, sql: string, values: readonly unknown[]): Promise<Row[]> {
  try {
    return (await db.query<Row>(sql, [...values])).rows;
  } catch (error) {
    throw asStoreError(error);
  }
}
