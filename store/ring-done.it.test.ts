import { beforeAll, describe, expect, it } from '@jest/globals';
import { useBatches } from '../test/support/batches.ts';
import { seedTenant } from '../test/support/seed.ts';
import { until } from '../test/support/until.ts';
import { storeCertificates } from './certificates.ts';
import { listen } from './listen.ts';
import { inTransaction } from './pool.ts';
import { readRing, ringDone } from './ring-done.ts';
import { failProofs } from './seals.ts';

const world = useBatches();
const LAST = 'the last';
let heard: string[] = [];

beforeAll(() => {
  heard = [];
});

/** Whom the rings of `work` name, in order. */
async function rungBy(work: () => Promise<unknown>): Promise<readonly string[]> {
  heard = [];
  const listening = listen(world.db, ['proofline_done'], (_channel, payload) => heard.push(payload));
  // The connection itself rings for everybody.
  await until(
    () => heard,
    (all) => all.length === 1,
  );
  await work();
  await ringDone(world.db, [LAST]);
  await until(
    () => heard,
    (all) => all.at(-1) === LAST,
  );
  await listening.stop();
  return heard.slice(1, -1).flatMap((payload) => readRing(payload) ?? ['everybody']);
}

describe('a ring', () => {
  it('names as many as there are, in as many payloads as they need', async () => {
    const ids = Array.from({ length: 450 }, (_, i) => `00000000-0000-4000-8000-${i.toString().padStart(12, '0')}`);
    expect(await rungBy(() => ringDone(world.db, ids))).toEqual(ids);
    expect(heard.slice(1, -1).map((payload) => payload.length < 8_000)).toEqual([true, true, true]);
  });

  it('is not heard where nobody is named or the transaction ends without a commit', async () => {
    expect(await rungBy(() => ringDone(world.db, []))).toEqual([]);
    const undone = inTransaction(world.db, async (tx) => {
      await ringDone(tx, ['nobody']);
      throw new Error('not kept');
    });
    expect(await rungBy(() => undone.catch(() => undefined))).toEqual([]);
  });

  it('names the proofs that were certified or failed, and their submission once, and at a repeat nobody', async () => {
    const tenant = await seedTenant(world.owner);
    const { batch, proofIds } = await world.formed(tenant, 3);
    await world.seal(batch);
    const submission = (await world.owner.query('SELECT id FROM submissions')).rows[0].id;
    const [failed, ...certified] = proofIds;
    await world.owner.query("UPDATE proofs SET state = 'TIMESTAMPED'");
    await world.owner.query(
      `INSERT INTO certificates (proof_id, tenant_id, batch_id, number, final_state, template_id, timestamp_size, drafted_at)
       SELECT id, $2, $3, 'PL-' || n, 'CERTIFIED', 0, 1, now() FROM unnest($1::uuid[]) WITH ORDINALITY AS u (id, n)`,
      [certified, tenant.tenantId, batch],
    );
    const certify = () =>
      storeCertificates(world.db, {
        batch,
        kid: 'certificate',
        version: 1,
        certificates: certified.map((proofId) => ({ proofId, signature: new Uint8Array(64) })),
        now: world.now(),
      });
    const fail = () =>
      failProofs(world.db, {
        batch,
        failures: proofIds.map((proofId) => ({ proofId, code: 'INTERNAL', detail: '' })),
        stage: 'certificate',
        now: world.now(),
      });
    expect((await rungBy(certify)).toSorted()).toEqual([...certified, submission].toSorted());
    expect(await rungBy(certify)).toEqual([]);
    expect((await rungBy(fail)).toSorted()).toEqual([failed, submission].toSorted());
  });
});
