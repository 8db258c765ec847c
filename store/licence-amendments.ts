/** Brings a tenant's grants up to an instant: amendments and new periods, each in the order in which they fall due. */
import type { TenantId } from '../domain/ids.ts';
import { addShares } from '../domain/licence/check-amendment.ts';
import type { Grant } from '../domain/licence/grant.ts';
import { openDuePeriods } from './licence-periods.ts';
import { followShares, readShares, writeShares } from './licence-shares.ts';
import type { Tx } from './pool.ts';

interface Due {
  readonly id: string;
  readonly target_id: string;
  readonly payload: Grant;
  readonly effective_at: string;
}

/**
 * Applies the amendments that have taken effect by `now` and opens the periods that have begun. A late call gives what
 * timely ones would have given: before each amendment the periods that began earlier are opened. Returns how many
 * periods it opened. One query if nothing is due. Locks: the tenant must be locked.
 */
export async function advanceGrants(tx: Tx, tenant: TenantId, now: string): Promise<number> {
  const { rowCount } = await tx.query(
    `SELECT FROM licence_grants WHERE tenant_id = $1 AND ((next_period_at <= $2 AND revoked_at IS NULL) OR (applied_at IS NULL AND effective_at <= $2)) LIMIT 1`,
    [tenant, now],
  );
  if (rowCount === 0) return 0;
  const { rows } = await tx.query<Due>(
    `SELECT id, target_id, payload, effective_at FROM licence_grants
     WHERE tenant_id = $1 AND applied_at IS NULL AND effective_at <= $2 ORDER BY effective_at, seq`,
    [tenant, now],
  );
  let opened = 0;
  for (const due of rows) {
    opened += await openDuePeriods(tx, tenant, due.effective_at);
    await applyAmendment(tx, tenant, due);
    await tx.query('UPDATE licence_grants SET applied_at = $2 WHERE id = $1', [due.id, now]);
  }
  return opened + (await openDuePeriods(tx, tenant, now));
}

async function applyAmendment(tx: Tx, tenant: TenantId, due: Due): Promise<void> {
  const { payload: grant, target_id: target, effective_at: at } = due;
  switch (grant.kind) {
    case 'BASE':
      return;
    case 'ADDENDUM':
      await tx.query('UPDATE licence_grants SET units = units + $2::bigint WHERE id = $1', [target, grant.quota]);
      await tx.query(
        'UPDATE licence_periods SET quota = quota + $2::bigint WHERE grant_id = $1 AND (ends_at IS NULL OR ends_at > $3)',
        [target, grant.quota, at],
      );
      await writeShares(tx, tenant, target, addShares(await readShares(tx, target), grant.allocations));
      return followShares(tx, tenant, at);
    case 'TRANSFER':
      await writeShares(tx, tenant, target, grant.allocations);
      return followShares(tx, tenant, at);
    case 'REVOCATION':
      return revoke(tx, due);
  }
}

/** Of a BASE grant: ends its consumption. Of a REVOCATION: restores what that revoked, or lets it never take effect. */
async function revoke(tx: Tx, { id, target_id: target, effective_at: at }: Due): Promise<void> {
  // A revocation that was itself revoked before it took effect does nothing.
  const { rowCount } = await tx.query('SELECT FROM licence_grants WHERE id = $1 AND revoked_at IS NULL', [id]);
  if (rowCount === 0) return;
  await tx.query('UPDATE licence_grants SET revoked_at = $2 WHERE id = $1', [target, at]);
  await tx.query(
    `UPDATE licence_grants b SET revoked_at = NULL FROM licence_grants r
     WHERE r.id = $1 AND r.kind = 'REVOCATION' AND b.id = r.target_id AND r.applied_at IS NOT NULL`,
    [target],
  );
}
