import { describe, expect, it } from '@jest/globals';
import { useBatches } from '../test/support/batches.ts';
import { holdTransaction } from '../test/support/held-transaction.ts';
import { seedTenant } from '../test/support/seed.ts';
import { queueForLicence } from './certificates.ts';

const world = useBatches();

describe('queueing for a licence', () => {
  it('leaves out who was drafted while it waited for the lock', async () => {
    const a = await seedTenant(world.owner);
    const { batch, proofIds } = await world.formed(a, 2);
    await world.seal(batch);
    await world.owner.query("UPDATE proofs SET state = 'TIMESTAMPED'");
    const drain = await holdTransaction(world.owner, 'SELECT FROM proofs WHERE id = $1 FOR UPDATE', [proofIds[0]]);
    const queueing = queueForLicence(world.db, batch, world.now());
    await drain.waiter();
    await drain.query(
      `INSERT INTO certificates (proof_id, tenant_id, batch_id, number, final_state, template_id, timestamp_size, drafted_at)
       VALUES ($1, $2, $3, 'PL-1', 'CERTIFIED_NO_ANCHOR', 0, 1, now())`,
      [proofIds[0], a.tenantId, batch],
    );
    await drain.commit();
    await queueing;
    const { rows: queued } = await world.owner.query('SELECT proof_id FROM licence_queue');
    expect(queued.map((row) => row.proof_id)).toEqual([proofIds[1]]);
  });
});
