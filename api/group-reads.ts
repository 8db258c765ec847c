/**
 * Reads in groups, as the accept path writes in groups: what is asked while a read of the tenant is under way shares the
 * next one, so that its cost falls as load grows. A read that starts after it was asked for sees all that was committed
 * by then.
 */
import type { ProofId, TenantId } from '../domain/ids.ts';
import type { ProofState } from '../domain/states.ts';
import type { Db } from '../store/pool.ts';
import { type ProofRow, readProofs, readStates } from '../store/proofs.read.ts';
import { withTenant } from '../store/tenant-scope.ts';

/** The reads that every single proof needs. */
export interface Reads {
  /** The tenant's proof; undefined if it has none of that id. */
  proof(tenant: TenantId, id: ProofId): Promise<ProofRow | undefined>;
  /** Its state alone, for whoever is about to wait for another. */
  state(tenant: TenantId, id: ProofId): Promise<ProofState | undefined>;
}

export function createReads(db: Db): Reads {
  return {
    proof: groupReads((tenant, ids: readonly ProofId[]) =>
      withTenant(db, tenant, async (tx) => {
        const found = await readProofs(tx, ids);
        return ids.map((id) => found.get(id));
      }),
    ),
    state: groupReads((tenant, ids: readonly ProofId[]) =>
      withTenant(db, tenant, async (tx) => {
        const found = await readStates(tx, ids);
        return ids.map((id) => found.get(id));
      }),
    ),
  };
}

interface Asked<I, O> {
  readonly item: I;
  readonly resolve: (answer: O) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * `read` answers at most `maxItems` of one tenant, in their order. One read a tenant is under way at a time; tenants
 * read beside each other. A read that fails fails all of its group: items must be such that none alone is to blame.
 */
export function groupReads<I, O>(
  read: (tenant: TenantId, items: readonly I[]) => Promise<readonly O[]>,
  maxItems = 500,
): (tenant: TenantId, item: I) => Promise<O> {
  const waiting = new Map<TenantId, Asked<I, O>[]>();

  const readAll = async (tenant: TenantId, queue: Asked<I, O>[]): Promise<void> => {
    while (queue.length > 0) {
      const group = queue.splice(0, maxItems);
      try {
        const answers = await read(
          tenant,
          group.map(({ item }) => item),
        );
        for (const [i, { resolve }] of group.entries()) resolve(answers[i] as O);
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
    waiting.delete(tenant);
  };

  return (tenant, item) =>
    new Promise((resolve, reject) => {
      const queue = waiting.get(tenant);
      if (queue !== undefined) {
        queue.push({ item, resolve, reject });
        return;
      }
      const fresh = [{ item, resolve, reject }];
      waiting.set(tenant, fresh);
      // What arrives in the same turn of the loop is part of the first group.
      setImmediate(() => void readAll(tenant, fresh));
    });
}
