/**
 * The only consumer of licence units. Batches, imports, renewals and moves of allocations only call it, by
 * `drainTogether`.
 *
 * Lock order of a transaction: tenant, periods, allocations by (depth, unit), proofs by id. One tenant row lock makes
 * callers of one tenant take turns, so that the counters read under it stay true until commit.
 */
import type { Clock } from '../domain/clock.ts';
import type { BatchId, OrgUnitId, ProofId, TenantId } from '../domain/ids.ts';
import { type PeriodRoom, roomOf, takeUnit } from '../domain/licence/rooms.ts';
import { consumeUnits, type Served } from './consume-units.ts';
import { advanceGrants } from './licence-amendments.ts';
import { lockRooms, lockTenant, readQueuedUnits, type TenantRooms, type Unit } from './licence-rooms.ts';
import { lockQueued, type QueueSlice, type Ready } from './lock-queued.ts';
import { markAwaiting, type WaitingReason } from './mark-awaiting.ts';
import { type Db, inTransaction, type Tx } from './pool.ts';

/** Proofs that one transaction serves or marks. */
export const DRAIN_CHUNK = 2_000;
/** Transactions of one call; what is left is told by `more`. */
const MAX_TRANSACTIONS = 8;

export interface DrainOptions {
  readonly clock: Clock;
  readonly origin: string;
  readonly publicUrl: string;
  /** The batches that call: they look for their drafts themselves, so they get no signal. */
  readonly batchIds?: readonly BatchId[];
  /** At most `DRAIN_CHUNK`. */
  readonly limit?: number;
  /** Transactions of this call that serve or mark somebody, at most 8, which is the default. */
  readonly transactions?: number;
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
  /** In the queue though their evidence is not complete by our clock; `more` does not speak of them. */
  readonly unready: readonly ProofId[];
  /** True if there may be more to serve or to mark; call again. */
  readonly more: boolean;
}

interface Step {
  readonly served: readonly Served[];
  readonly told: number;
  /** Looked at and done with: served, told, or gone from the queue. */
  readonly settled: number;
  /** In the queue though the evidence is not complete by our clock: left alone, their batch asks again. */
  readonly unready: readonly ProofId[];
  /** A unit of the queue has no room: who is new there is to be told. */
  readonly isFull: boolean;
  readonly more: boolean;
}

const NOTHING: Step = { served: [], told: 0, settled: 0, unready: [], isFull: false, more: false };

/**
 * Serves the tenant's queue by (receivedAt, proof), passing over proofs whose own unit path has no room: consumes their
 * unit, drafts their certificate, owes their batch a wake. Proofs without room become AWAITING_LICENSE, in each call,
 * however many others there are to serve. At most 2,000 proofs a transaction, nine transactions a call. A repeat goes on
 * where the last commit ended.
 */
export async function drainLicences(db: Db, tenant: TenantId, options: DrainOptions): Promise<DrainResult> {
  const unready: ProofId[] = [];
  const batches = new Set<BatchId>();
  let [drafted, waiting, settled] = [0, 0, 0];
  const result = (more: boolean): DrainResult => ({ drafted, waiting, batchesServed: [...batches], unready, more });
  const take = (step: Step): void => {
    for (const { proof } of step.served) batches.add(proof.batchId);
    drafted += step.served.length;
    waiting += step.told;
    settled += step.settled;
    unready.push(...step.unready);
    options.onStep?.();
  };
  const { transactions = MAX_TRANSACTIONS } = options;
  let isFull = false;
  // Looking past those that are not ready settles nobody, and must not end a short call before it has served.
  for (let [i, settling] = [0, 0]; i < MAX_TRANSACTIONS && settling < transactions; i++) {
    // Before the lock: whoever comes after all were served waits for nobody. A unit that joins later has a caller of its own.
    const queued = await readQueuedUnits(db, tenant);
    if (queued.length === 0) return result(false);
    const step = await inTransaction(db, (tx) => drainOnce(tx, tenant, queued, options, unready));
    take(step);
    if (!step.more) return result(false);
    isFull = step.isFull;
    if (step.settled > 0) settling++;
  }
  if (isFull) {
    const queued = await readQueuedUnits(db, tenant);
    take(await inTransaction(db, (tx) => tellOnce(tx, tenant, queued, options, unready)));
  }
  // A call that settled nobody would not do so the next time either.
  return result(settled > 0);
}

/** Serves who has room; where nobody has, tells those who wait for the first time. */
async function drainOnce(
  tx: Tx,
  tenant: TenantId,
  queued: readonly OrgUnitId[],
  options: DrainOptions,
  skip: readonly ProofId[],
): Promise<Step> {
  const limit = limitOf(options);
  const { rooms, now } = await openRooms(tx, tenant, queued, options.clock);
  const { units, periods } = rooms;
  const slice = sliceWithRoom(rooms, { tenant, skip, limit });
  const { taken, ready, unready } = await lockQueued(tx, slice, options.origin, now);
  if (taken === 0) return await tellWaiters(tx, options, rooms, { tenant, skip, limit }, now);

  const served: Served[] = [];
  const passed: Ready[] = [];
  for (const proof of ready) {
    const unit = units.get(proof.unit);
    // Without its path no share would be charged.
    if (unit === undefined) continue;
    const period = takeUnit(periods, unit.path);
    if (period === undefined) passed.push(proof);
    else served.push({ proof, period });
  }
  if (served.length > 0) {
    const parked = new Set(served.filter((s) => mayBeParked(s.proof)).map((s) => s.proof.batchId));
    const wake = [...parked].filter((batch) => options.batchIds?.includes(batch) !== true);
    const { origin, publicUrl } = options;
    await consumeUnits(tx, { tenantId: tenant, origin, publicUrl, at: now, periods, served, wake });
  }
  await markAwaiting(tx, tenant, passed, reasonOf(rooms), now);
  // A short read that served everybody has seen the whole queue, unless a unit had no room, or no more than was read.
  const allHaveRoom = [...units.values()].every((unit) => roomOf(periods, unit.path) > 0);
  const more = taken === limit || served.length < taken || !allHaveRoom;
  const told = passed.filter((p) => p.state !== 'AWAITING_LICENSE').length;
  return { served, told, settled: taken - unready.length, unready, isFull: !allHaveRoom, more };
}

/** Tells those who wait for the first time where nobody has room, while others still are to be served. */
async function tellOnce(
  tx: Tx,
  tenant: TenantId,
  queued: readonly OrgUnitId[],
  options: DrainOptions,
  skip: readonly ProofId[],
): Promise<Step> {
  const { rooms, now } = await openRooms(tx, tenant, queued, options.clock);
  return await tellWaiters(tx, options, rooms, { tenant, skip, limit: limitOf(options) }, now);
}

/** Locks the tenant, brings its grants up to date and locks what room there is for these units. */
async function openRooms(
  tx: Tx,
  tenant: TenantId,
  queued: readonly OrgUnitId[],
  clock: Clock,
): Promise<{ readonly rooms: TenantRooms; readonly now: string }> {
  await lockTenant(tx, tenant);
  const now = clock.nowMicros();
  let rooms = await lockRooms(tx, tenant, queued, now);
  if (rooms.isDue) {
    await advanceGrants(tx, tenant, now);
    rooms = await lockRooms(tx, tenant, queued, now);
  }
  return { rooms, now };
}

function limitOf({ limit = DRAIN_CHUNK }: DrainOptions): number {
  return Math.min(limit, DRAIN_CHUNK);
}

/**
 * Whether the proof's batch may have gone to wait. Until a proof was told to wait, its batch is still certifying and
 * looks for drafts once more before it rests; only a deadline that another clock sees earlier may be left behind.
 */
function mayBeParked({ state, anchorPolicy }: Ready): boolean {
  return state === 'AWAITING_LICENSE' || anchorPolicy === 'PREFERRED';
}

type Bounds = Pick<QueueSlice, 'tenant' | 'skip' | 'limit'>;

async function tellWaiters(
  tx: Tx,
  options: DrainOptions,
  rooms: TenantRooms,
  bounds: Bounds,
  now: string,
): Promise<Step> {
  const full = [...rooms.units.values()].filter((unit) => roomOf(rooms.periods, unit.path) === 0);
  const slice: QueueSlice = { ...bounds, of: 'untold', units: full.map((unit) => unit.id) };
  const { taken, ready, unready } = await lockQueued(tx, slice, options.origin, now);
  if (taken === 0) return NOTHING;
  await markAwaiting(tx, bounds.tenant, ready, reasonOf(rooms), now);
  const told = ready.filter((p) => p.state !== 'AWAITING_LICENSE').length;
  return { served: [], told, settled: taken - unready.length, unready, isFull: true, more: taken === bounds.limit };
}

/** The oldest over the units that have room, of each no more than it has room for. */
function sliceWithRoom({ units, periods }: TenantRooms, bounds: Bounds): QueueSlice {
  const roomy: { readonly unit: Unit; readonly room: number }[] = [];
  for (const unit of units.values()) {
    const room = Math.min(bounds.limit, roomOf(periods, unit.path));
    if (room > 0) roomy.push({ unit, room });
  }
  const slice = { ...bounds, units: roomy.map(({ unit }) => unit.id) };
  // Where no unit's room binds, the queue's own order is one range scan; unit by unit, a hundred units read 100 × limit rows.
  if (roomy.length === units.size && roomy.every(({ room }) => room === bounds.limit)) return { ...slice, of: 'all' };
  return { ...slice, of: 'rooms', rooms: roomy.map(({ room }) => room) };
}

function reasonOf({
  periods,
  isListBlocking,
}: {
  readonly periods: readonly PeriodRoom[];
  readonly isListBlocking: boolean;
}): WaitingReason {
  if (periods.length > 0) return 'quota-exhausted';
  return isListBlocking ? 'revocation-list-overdue' : 'no-licence';
}
