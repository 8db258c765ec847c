import type { Tx } from './pool.ts';

/** How many proofs of the tenant in scope wait for their end, and how many may: a sum of at most sixteen rows. */
export async function readPending(tx: Tx): Promise<{ readonly pending: number; readonly max: number }> {
  const { rows } = await tx.query<{ pending: bigint; max: number }>(
    'SELECT pending_proofs() AS pending, max_pending AS max FROM tenants',
  );
  // A tenant that is gone is refused by accept() itself.
  return { pending: Number(rows[0]?.pending ?? 0), max: rows[0]?.max ?? 0 };
}
