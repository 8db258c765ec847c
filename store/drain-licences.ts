/**
 * The only consumer of licence units. Batches, imports, renewals and moves of allocations only call it.
 *
 * Lock order of a transaction: tenant, periods, allocations by (depth, unit), proofs by id. One tenant row lock makes
 * callers of one tenant take turns, so that the counters read under it stay true until commit.
 */
import type { Clock } from '../domain/clock.ts';
import { type BatchId, type OrgUnitId, type ProofId, type TenantId, workflowIds } from '../domain/ids.ts';
import { type PeriodRoom, roomOf, takeUnit } from '../domain/licence/rooms.ts';
import { draftCertificates } from './draft-certificates.ts';
import { advanceGrants } from './licence-amendments.ts';
import { noteExhausted } from './licence-notices.ts';
import { isListBlocking, lockRooms, lockTenant, writeRooms } from './licence-rooms.ts';
import { lockReady, type Queued, type Ready } from './lock-queued.ts';
import { markAwaiting, type WaitingReason } from './mark-awaiting.ts';
import { enqueueMotion } from './outbox.ts';
import { type Db, inTransaction, type Tx } from './pool.ts';

/** Proofs that one transaction serves or marks. */
export const DRAIN_CHUNK = 2_000;
/** Transactions of one call; what is left is told by `more`. */
const MAX_TRANSACTIONS = 8;

export interface DrainOptions {
  readonly clock: Clock;
  readonly origin: string;
  readonly publicUrl: string;
  /** The batch that calls: it looks for its drafts itself, so it gets no signal. */
  readonly batchId?: BatchId;
  /** At most `DRAIN_CHUNK`. */
  readonly limit?: number;
  /** Called after each transaction: a heartbeat. */
  readonly onStep?: () => void;
}

export interface DrainResult {
  /** Proofs that got their unit and their draft. */
  readonly drafted: number;
  /** Proofs that were told to wait, now: AWAITING_LICENSE. Those that waited already are not counted again. */
  readonly waiting: number;
  /** Batches with new drafts, each once. */
  readonly batchesServed: readonly BatchId[];
  /** True if there may be more to serve or to mark; call again. */
  readonly more: boolean;
}

interface Unit {
  readonly id: OrgUnitId;
  /** Root first, this unit last. */
  readonly path: readonly OrgUnitId[];
}

interface Step {
  readonly served: readonly { readonly proof: Ready; readonly period: PeriodRoom }[];
  readonly told: number;
  /** Looked at and done with: served, told, or gone from the queue. */
  readonly settled: number;
  /** In the queue though the evidence is not complete by our clock: left alone, their batch asks again. */
  readonly unready: readonly ProofId[];
  readonly more: boolean;
}

/**
 * Serves the tenant's queue by (receivedAt, proof), passing over proofs whose own unit path has no room: consumes their
 * unit, drafts their certificate, owes their batch a wake. Proofs without room become AWAITING_LICENSE. At most 2,000
 * proofs a transaction, eight transactions a call. A repeat goes on where the last commit ended.
 */
export async function drainLicences(db: Db, tenant: TenantId, options: DrainOptions): Promise<DrainResult> {
  const unready: ProofId[] = [];
  const batches = new Set<BatchId>();
  let drafted = 0;
  let waiting = 0;
  let settled = 0;
  for (let i = 0; i < MAX_TRANSACTIONS; i++) {
    const step = await inTransaction(db, (tx) => drainOnce(tx, tenant, options, unready));
    for (const { proof } of step.served) batches.add(proof.batchId);
    drafted += step.served.length;
    waiting += step.told;
    settled += step.settled;
    unready.push(...step.unready);
    options.onStep?.();
    if (!step.more) return { drafted, waiting, batchesServed: [...batches], more: false };
  }
  // A call that settled nobody would not do so the next time either.
  return { drafted, waiting, batchesServed: [...batches], more: settled > 0 };
}

/** Serves who has room; where nobody has, tells those who wait for the first time. */
async function drainOnce(tx: Tx, tenant: TenantId, options: DrainOptions, skip: readonly ProofId[]): Promise<Step> {
  const limit = Math.min(options.limit ?? DRAIN_CHUNK, DRAIN_CHUNK);
  await lockTenant(tx, tenant);
  const now = options.clock.nowMicros();
  const units = await readQueuedUnits(tx, tenant);
  if (units.size === 0) return { served: [], told: 0, settled: 0, unready: [], more: false };
  await advanceGrants(tx, tenant, now);
  const periods = await lockRooms(tx, tenant, now);
  const roomy = [...units.values()].filter((unit) => roomOf(periods, unit.path) > 0);
  const candidates = await readQueue(tx, tenant, roomy, roomy.length === units.size, periods, skip, limit);
  if (candidates.length === 0) return await tellWaiters(tx, tenant, options, units, periods, skip, limit, now);

  const { ready, unready } = await lockReady(tx, candidates, options.origin, now);
  const served: { proof: Ready; period: PeriodRoom }[] = [];
  const passed: Ready[] = [];
  for (const proof of ready) {
    const unit = units.get(proof.unit);
    // Without its path no share would be charged.
    if (unit === undefined) continue;
    const period = takeUnit(periods, unit.path);
    if (period === undefined) passed.push(proof);
    else served.push({ proof, period });
  }
  if (served.length > 0) await consume(tx, tenant, options, periods, served, now);
  if (passed.length > 0) await markAwaiting(tx, tenant, passed, await reasonFor(tx, periods, now), now);
  // A short read that served everybody has seen the whole queue, unless a unit had no room, or no more than was read.
  const allHaveRoom = [...units.values()].every((unit) => roomOf(periods, unit.path) > 0);
  const more = candidates.length === limit || served.length < candidates.length || !allHaveRoom;
  const told = passed.filter((p) => p.state !== 'AWAITING_LICENSE').length;
  return { served, told, settled: candidates.length - unready.length, unready, more };
}

async function tellWaiters(
  tx: Tx,
  tenant: TenantId,
  options: DrainOptions,
  units: ReadonlyMap<OrgUnitId, Unit>,
  periods: readonly PeriodRoom[],
  skip: readonly ProofId[],
  limit: number,
  now: string,
): Promise<Step> {
  const full = [...units.values()].filter((unit) => roomOf(periods, unit.path) === 0).map((unit) => unit.id);
  const { rows } = await tx.query<Queued>(
    `SELECT q.proof_id, q.org_unit_id FROM unnest($2::uuid[]) AS u (id) CROSS JOIN LATERAL (
       SELECT * FROM licence_queue w WHERE w.tenant_id = $1 AND w.org_unit_id = u.id AND NOT w.awaiting AND w.proof_id <> ALL ($3::uuid[])
       ORDER BY w.received_at, w.proof_id LIMIT $4) q
     ORDER BY q.received_at, q.proof_id LIMIT $4`,
    [tenant, full, skip, limit],
  );
  if (rows.length === 0) return { served: [], told: 0, settled: 0, unready: [], more: false };
  const { ready, unready } = await lockReady(tx, rows, options.origin, now);
  await markAwaiting(tx, tenant, ready, await reasonFor(tx, periods, now), now);
  const told = ready.filter((p) => p.state !== 'AWAITING_LICENSE').length;
  return { served: [], told, settled: rows.length - unready.length, unready, more: rows.length === limit };
}

/** The units that have proofs in the queue: one index probe a unit, not a scan of the queue. */
async function readQueuedUnits(tx: Tx, tenant: TenantId): Promise<ReadonlyMap<OrgUnitId, Unit>> {
  const { rows } = await tx.query<Unit>(
    `WITH RECURSIVE queued AS (
       (SELECT org_unit_id FROM licence_queue WHERE tenant_id = $1 ORDER BY org_unit_id LIMIT 1)
       UNION ALL
       SELECT next.org_unit_id FROM queued CROSS JOIN LATERAL (
         SELECT q.org_unit_id FROM licence_queue q WHERE q.tenant_id = $1 AND q.org_unit_id > queued.org_unit_id ORDER BY q.org_unit_id LIMIT 1) next
     )
     SELECT u.id, u.path FROM queued JOIN org_units u ON u.id = queued.org_unit_id`,
    [tenant],
  );
  return new Map(rows.map((unit) => [unit.id, unit]));
}

/** The oldest of the queue over the units given, of each no more than it has room for. `isWholeQueue`: no other unit queues. */
async function readQueue(
  tx: Tx,
  tenant: TenantId,
  units: readonly Unit[],
  isWholeQueue: boolean,
  periods: readonly PeriodRoom[],
  skip: readonly ProofId[],
  limit: number,
): Promise<readonly Queued[]> {
  if (units.length === 0) return [];
  const rooms = units.map((unit) => Math.min(limit, roomOf(periods, unit.path)));
  // Where no unit's room binds, the queue's own order is one range scan; unit by unit, a hundred units read 100 × limit rows.
  if (isWholeQueue && rooms.every((room) => room === limit)) {
    const { rows } = await tx.query<Queued>(
      // The units again, since a proof of another may have joined the queue since they were read.
      `SELECT proof_id, org_unit_id FROM licence_queue WHERE tenant_id = $1 AND proof_id <> ALL ($2::uuid[]) AND org_unit_id = ANY ($4::uuid[])
       ORDER BY received_at, proof_id LIMIT $3`,
      [tenant, skip, limit, units.map((u) => u.id)],
    );
    return rows;
  }
  const { rows } = await tx.query<Queued>(
    `SELECT q.proof_id, q.org_unit_id FROM unnest($2::uuid[], $3::int[]) AS u (id, room) CROSS JOIN LATERAL (
       SELECT * FROM licence_queue w WHERE w.tenant_id = $1 AND w.org_unit_id = u.id AND w.proof_id <> ALL ($4::uuid[])
       ORDER BY w.received_at, w.proof_id LIMIT u.room) q
     ORDER BY q.received_at, q.proof_id LIMIT $5`,
    [tenant, units.map((u) => u.id), rooms, skip, limit],
  );
  return rows;
}

async function consume(
  tx: Tx,
  tenant: TenantId,
  options: DrainOptions,
  periods: readonly PeriodRoom[],
  served: readonly { readonly proof: Ready; readonly period: PeriodRoom }[],
  now: string,
): Promise<void> {
  await writeRooms(tx, periods);
  const ids = served.map((s) => s.proof.id);
  await tx.query(
    `WITH taken AS (DELETE FROM licence_queue WHERE proof_id = ANY ($2::uuid[])), served AS MATERIALIZED (
       SELECT * FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::int[]) AS u (proof, unit, grant_id, n)
     ), counted AS (
       INSERT INTO licence_unit_usage (grant_id, n, org_unit_id, tenant_id, used)
       SELECT grant_id, n, unit, $1::uuid, count(*) FROM served GROUP BY grant_id, n, unit
       ON CONFLICT (grant_id, n, org_unit_id) DO UPDATE SET used = licence_unit_usage.used + EXCLUDED.used
     )
     INSERT INTO licence_consumptions (proof_id, tenant_id, org_unit_id, grant_id, n, at)
     SELECT proof, $1, unit, grant_id, n, $6 FROM served`,
    [
      tenant,
      ids,
      served.map((s) => s.proof.unit),
      served.map((s) => s.period.grantId),
      served.map((s) => s.period.n),
      now,
    ],
  );
  await noteExhausted(tx, tenant, [...new Set(served.map((s) => s.period))], now);
  await draftCertificates(tx, {
    tenantId: tenant,
    origin: options.origin,
    publicUrl: options.publicUrl,
    proofs: served.map(({ proof, period }) => ({ ...proof, grantId: period.grantId, period: period.n })),
    at: now,
  });
  const { rows: batches } = await tx.query<{ id: BatchId; generation: number }>(
    "SELECT id, generation FROM batches WHERE id = ANY ($1::uuid[]) AND state <> 'CLOSED' AND id IS DISTINCT FROM $2 ORDER BY id",
    [[...new Set(served.map((s) => s.proof.batchId))], options.batchId ?? null],
  );
  await enqueueMotion(
    tx,
    batches.map((batch) => ({
      kind: 'signal' as const,
      workflowId: workflowIds.certifyBatch(batch.id, batch.generation),
      name: 'licencesGranted',
      payload: {},
    })),
    now,
  );
}

async function reasonFor(tx: Tx, periods: readonly PeriodRoom[], now: string): Promise<WaitingReason> {
  if (periods.length > 0) return 'quota-exhausted';
  return (await isListBlocking(tx, now)) ? 'revocation-list-overdue' : 'no-licence';
}
