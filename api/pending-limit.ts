/**
 * How much a tenant may have waiting (`max_pending`). The count is of Postgres, taken seldom: between counts each process
 * adds what it let through, and only a tenant that seems to reach its limit is counted anew. So with several processes a
 * tenant may get beyond its limit by what the others accept within `RECOUNT_MS`.
 */
import type { Clock } from '../domain/clock.ts';
import { ProoflineError } from '../domain/errors.ts';
import type { TenantId } from '../domain/ids.ts';

export interface PendingLimit {
  /** Counts `proofs` in. Throws TOO_MANY_PENDING when the tenant has no room for them, STORE_UNAVAILABLE. */
  admit(tenant: TenantId, proofs: number): Promise<void>;
}

interface Count {
  readonly atMs: number;
  readonly max: number;
  /** Counted, and let through since. */
  pending: number;
}

const RECOUNT_MS = 30_000;
/** A tenant at its limit is counted no oftener than this. */
const SOONEST_MS = 1_000;
const MAX_TENANTS = 10_000;

export function createPendingLimit(
  readPending: (tenant: TenantId) => Promise<{ readonly pending: number; readonly max: number }>,
  clock: Clock,
): PendingLimit {
  const counts = new Map<TenantId, Promise<Count>>();

  async function count(tenant: TenantId): Promise<Count> {
    const { pending, max } = await readPending(tenant);
    return { atMs: clock.nowMs(), max, pending };
  }

  /** One count at a time for a tenant, however many ask. */
  async function freshCount(tenant: TenantId, youngestMs: number): Promise<Count> {
    const known = counts.get(tenant);
    if (known !== undefined) {
      const held = await known;
      if (clock.nowMs() - held.atMs < youngestMs) return held;
      const newer = counts.get(tenant);
      if (newer !== undefined && newer !== known) return newer;
    }
    const counting = count(tenant);
    counting.catch(() => counts.get(tenant) === counting && counts.delete(tenant));
    counts.delete(tenant);
    counts.set(tenant, counting);
    const oldest = counts.keys().next().value;
    if (counts.size > MAX_TENANTS && oldest !== undefined) counts.delete(oldest);
    return counting;
  }

  return {
    async admit(tenant, proofs) {
      let held = await freshCount(tenant, RECOUNT_MS);
      if (held.pending + proofs > held.max) held = await freshCount(tenant, SOONEST_MS);
      if (held.pending + proofs > held.max)
        throw new ProoflineError('TOO_MANY_PENDING', `${held.pending} proofs are pending, at most ${held.max} may be`);
      held.pending += proofs;
    },
  };
}
