import { EVENT_OF_STATE } from '../domain/events.ts';
import type { BatchId, ProofId, SubmissionId, TenantId } from '../domain/ids.ts';
import type { ProofState } from '../domain/states.ts';
import type { Tx } from './pool.ts';

/**
 * One step of many proofs: of every proof of the scope and tenant; only of those whose leaf index is in
 * [leafFrom, leafTo) if given; only of `members` if given; never of `exceptions`.
 */
export interface TimelineRow {
  readonly tenantId: TenantId;
  readonly scope: { readonly batchId: BatchId } | { readonly submissionId: SubmissionId };
  readonly state: ProofState;
  /** False where the step is noted beside a state that stays. */
  readonly changesState?: boolean;
  /** For a note that is no event of the catalogue. */
  readonly withoutEvent?: boolean;
  /** RFC 3339 UTC with microseconds. */
  readonly at: string;
  readonly leafRange?: { readonly from: bigint; readonly to: bigint };
  readonly members?: readonly ProofId[];
  readonly exceptions?: readonly ProofId[];
  readonly detail?: Readonly<Record<string, unknown>>;
}

const APPEND = `
  WITH rows AS (
    SELECT * FROM jsonb_to_recordset($1) AS r (tenant uuid, submission uuid, batch uuid, state proof_state, changes boolean, at timestamptz, leaf_from bigint,
      leaf_to bigint, members uuid[], exceptions uuid[], detail jsonb, type text, is_event boolean)
  ), steps AS (
    INSERT INTO timeline (tenant_id, submission_id, batch_id, state, changes_state, at, leaf_from, leaf_to, members, exceptions, detail)
    SELECT tenant, submission, batch, state, changes, at, leaf_from, leaf_to, members, exceptions, detail FROM rows
  )
  INSERT INTO events (at, type, tenant_id, submission_id, batch_id, state, leaf_from, leaf_to, members, exceptions, payload)
  SELECT at, type, tenant, submission, batch, state, leaf_from, leaf_to, members, exceptions, detail FROM rows WHERE is_event`;

/** Appends steps to the timeline and their events, in the transaction that changes the states. Nothing is ever changed. */
export async function appendTimeline(tx: Tx, rows: readonly TimelineRow[]): Promise<void> {
  if (rows.length === 0) return;
  await tx.query(APPEND, [
    JSON.stringify(
      rows.map((row) => ({
        tenant: row.tenantId,
        submission: 'submissionId' in row.scope ? row.scope.submissionId : null,
        batch: 'batchId' in row.scope ? row.scope.batchId : null,
        state: row.state,
        changes: row.changesState ?? true,
        at: row.at,
        leaf_from: row.leafRange?.from.toString() ?? null,
        leaf_to: row.leafRange?.to.toString() ?? null,
        members: uuidArray(row.members),
        exceptions: uuidArray(row.exceptions),
        detail: row.detail ?? null,
        type: EVENT_OF_STATE[row.state],
        is_event: row.withoutEvent !== true,
      })),
    ),
  ]);
}

/** jsonb_to_recordset reads an array column from an array literal or a JSON array; empty means absent. */
function uuidArray(ids: readonly string[] | undefined): readonly string[] | null {
  return ids === undefined || ids.length === 0 ? null : ids;
}

/**
 * Who a step of a batch's members speaks of, by tenant. The members are only counted where the step may be of most of
 * them, and only those who stay are read where few do: the chunks of a large batch do not read all of it each.
 */
export async function describeMoved(
  tx: Tx,
  batch: BatchId,
  moved: ReadonlyMap<TenantId, readonly ProofId[]>,
): Promise<ReadonlyMap<TenantId, Pick<TimelineRow, 'members' | 'exceptions'>>> {
  const movedCount = [...moved.values()].reduce((sum, ids) => sum + ids.length, 0);
  const { rows: whole } = await tx.query<{ proof_count: number }>('SELECT proof_count FROM batches WHERE id = $1', [
    batch,
  ]);
  const memberCount = whole[0]?.proof_count ?? 0;
  if (moved.size === 1 && movedCount * 2 < memberCount)
    return new Map([...moved].map(([tenant, members]) => [tenant, { members }]));
  const counts = await countMembers(tx, batch);
  const out = new Map<TenantId, Pick<TimelineRow, 'members' | 'exceptions'>>();
  for (const [tenant, ids] of moved) {
    const stay = (counts.get(tenant) ?? 0) - ids.length;
    if (stay > ids.length) out.set(tenant, { members: ids });
    else out.set(tenant, describeMembers(ids, stay <= 0 ? [] : await readOthers(tx, batch, tenant, ids)));
  }
  return out;
}

async function countMembers(tx: Tx, batch: BatchId): Promise<ReadonlyMap<TenantId, number>> {
  const { rows } = await tx.query<{ tenant_id: TenantId; n: number }>(
    'SELECT tenant_id, count(*)::int AS n FROM seals WHERE batch_id = $1 GROUP BY tenant_id',
    [batch],
  );
  return new Map(rows.map((row) => [row.tenant_id, row.n]));
}

async function readOthers(
  tx: Tx,
  batch: BatchId,
  tenant: TenantId,
  ids: readonly ProofId[],
): Promise<readonly ProofId[]> {
  const { rows } = await tx.query<{ proof_id: ProofId }>(
    'SELECT proof_id FROM seals WHERE batch_id = $1 AND tenant_id = $2 AND proof_id <> ALL ($3::uuid[])',
    [batch, tenant, ids],
  );
  return rows.map((row) => row.proof_id);
}

/** Who a step speaks of, in the shorter of the two forms: everybody but, or only. */
export function describeMembers(
  moved: readonly ProofId[],
  stayed: readonly ProofId[],
): Pick<TimelineRow, 'members' | 'exceptions'> {
  if (stayed.length === 0) return {};
  return stayed.length <= moved.length ? { exceptions: stayed } : { members: moved };
}
