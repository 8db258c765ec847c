/**
 * Group commit of drains: callers of one tenant in one process that find a drain under way share the next one, instead of
 * one after the other taking the tenant's lock to find nothing left. Between processes the lock alone decides.
 */
import type { BatchId, TenantId } from '../domain/ids.ts';
import { type DrainOptions, type DrainResult, drainLicences } from './drain-licences.ts';
import type { Db } from './pool.ts';

export interface DrainCall extends Omit<DrainOptions, 'batchIds' | 'limit'> {
  /** The batch that calls: it looks for its drafts itself, so it gets no signal. */
  readonly batchId?: BatchId;
}

interface Turn {
  readonly callers: DrainCall[];
  /** The first caller is told what the drain did; the others only what it left. */
  readonly result: PromiseWithResolvers<DrainResult>;
}

interface Lane {
  running: Turn;
  next: Turn | undefined;
}

/** By database, then by tenant and log; a lane is there while somebody drains. */
const lanes = new WeakMap<Db, Map<string, Lane>>();

/**
 * Drains the tenant's queue as `drainLicences` does, by a drain that begins after the call: what is committed in the queue
 * by then is looked at. Of the callers that share one, the first gets its counts. All hear its failure.
 */
export async function drainTogether(db: Db, tenant: TenantId, call: DrainCall): Promise<DrainResult> {
  const ofDb = lanes.get(db) ?? new Map<string, Lane>();
  lanes.set(db, ofDb);
  const key = `${tenant} ${call.origin} ${call.publicUrl}`;
  const lane = ofDb.get(key);
  if (lane === undefined) {
    const turn = turnOf(call);
    void runLane(db, tenant, ofDb, key, { running: turn, next: undefined });
    return turn.result.promise;
  }
  if (lane.next === undefined) {
    lane.next = turnOf(call);
    return lane.next.result.promise;
  }
  lane.next.callers.push(call);
  const { unready, more } = await lane.next.result.promise;
  return { drafted: 0, waiting: 0, batchesServed: [], unready, more };
}

function turnOf(call: DrainCall): Turn {
  return { callers: [call], result: Promise.withResolvers() };
}

/** Takes turns until nobody waits for one. */
async function runLane(db: Db, tenant: TenantId, ofDb: Map<string, Lane>, key: string, lane: Lane): Promise<void> {
  ofDb.set(key, lane);
  for (;;) {
    const { callers, result } = lane.running;
    const [first] = callers;
    if (first === undefined) break;
    const batchIds = callers.flatMap(({ batchId }) => batchId ?? []);
    // Those who wait for the next turn are alive too.
    const onStep = (): void => {
      for (const caller of [...callers, ...(lane.next?.callers ?? [])]) caller.onStep?.();
    };
    const { clock, origin, publicUrl } = first;
    // Whoever asks for a short call is content with a longer one.
    const asked = callers.map(({ transactions }) => transactions);
    const transactions = asked.every((count) => count !== undefined) ? Math.max(...asked) : undefined;
    const options = { clock, origin, publicUrl, batchIds, onStep, ...(transactions && { transactions }) };
    await drainLicences(db, tenant, options).then(result.resolve, result.reject);
    if (lane.next === undefined) break;
    lane.running = lane.next;
    lane.next = undefined;
  }
  ofDb.delete(key);
}
