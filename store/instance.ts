import type { TrustDocument } from '../domain/trust.ts';
import type { Queryable } from './pool.ts';

/** The parts of the trust document that do not come from keys. */
export type InstanceDocument = Omit<TrustDocument, 'vkeys' | 'jwks'>;

/** Publishes what the workers know of this instance. One row; the last writer wins, all write the same. */
export async function publishInstance(db: Queryable, document: InstanceDocument, now: string): Promise<void> {
  await db.query(
    `INSERT INTO instance (id, document, updated_at) VALUES (1, $1, $2)
     ON CONFLICT (id) DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at WHERE instance.document IS DISTINCT FROM excluded.document`,
    [JSON.stringify(document), now],
  );
}
