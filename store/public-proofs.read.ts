/** Proofs found by digest, for verification. */
import type { ProofId, TenantId } from '../domain/ids.ts';
import { asStoreError, type Db } from './pool.ts';
import { withTenant } from './tenant-scope.ts';

/** The newest ten proofs of a digest (lower-case hex): the tenant's own, or without one those of tenants that opted in. */
export async function findProofsOfDigest(db: Db, digest: string, tenant?: TenantId): Promise<ProofId[]> {
  const bytes = Buffer.from(digest, 'hex');
  if (tenant !== undefined) {
    return withTenant(db, tenant, async (tx) => {
      const { rows } = await tx.query<{ id: ProofId }>(
        'SELECT id FROM proofs WHERE tenant_id = $1 AND digest = $2 ORDER BY received_at DESC, id DESC LIMIT 10',
        [tenant, bytes],
      );
      return rows.map(({ id }) => id);
    });
  }
  try {
    const { rows } = await db.query<{ id: ProofId }>('SELECT id FROM public_proofs_of_digest($1) AS id', [bytes]);
    return rows.map(({ id }) => id);
  } catch (error) {
    throw asStoreError(error);
  }
}
