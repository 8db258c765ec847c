import type { TenantId } from '../domain/ids.ts';
import { type Db, inTransaction, type Tx } from './pool.ts';

/**
 * The only door of the API to tenants' rows: a transaction in which row-level security shows exactly one tenant.
 * The setting ends with the transaction, so a pooled connection carries nothing over.
 */
export function withTenant<T>(db: Db, tenant: TenantId, work: (tx: Tx) => Promise<T>): Promise<T> {
  return inTransaction(db, async (tx) => {
    await tx.query("SELECT set_config('proofline.tenant', $1, true)", [tenant]);
    return work(tx);
  });
}
