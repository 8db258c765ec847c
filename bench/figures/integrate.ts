import { migrate } from '../../prisma/migrate.ts';
import { ensureLog, INTEGRATION_LIMIT, integrateLeaves, storeCheckpointNote } from '../../store/log.ts';
import { createPool, inTransaction } from '../../store/pool.ts';
import type { BenchContext, Section } from '../figure.ts';
import { show, spreadOf } from '../statistics.ts';
import { untilIdle } from '../system.ts';

const ORIGIN = 'bench/integrate';

/** Queued leaves into the tree, at the level of the store: no signer, no HTTP. */
export async function measureIntegration(context: BenchContext): Promise<Section> {
  const system = await context.system();
  await untilIdle(system);
  const leaves = context.quick ? 200_000 : 1_000_000;
  // A database of its own: leaves of the system's log have no gaps.
  const admin = createPool({ url: system.superuserUrl, max: 1, applicationName: 'bench', onError: () => undefined });
  await admin.query('CREATE DATABASE bench_integrate OWNER proofline_owner');
  await admin.end();
  const url = new URL(system.stack.info.postgresUrl);
  url.pathname = '/bench_integrate';
  await migrate(url.href);
  const db = createPool({
    url: url.href,
    max: 2,
    applicationName: 'bench',
    statementTimeoutMs: 300_000,
    onError: () => undefined,
  });
  try {
    await inTransaction(db, (tx) => ensureLog(tx, ORIGIN, new Date().toISOString()));
    await fill(db, leaves);
    const stepsMs: number[] = [];
    const startedMs = performance.now();
    let done = 0;
    while (done < leaves) {
      const stepMs = performance.now();
      const now = new Date().toISOString();
      const { head, leaves: taken } = await inTransaction(db, (tx) => integrateLeaves(tx, { origin: ORIGIN, now }));
      // Any note will do: what is measured is the store.
      await storeCheckpointNote(db, { origin: ORIGIN, size: head.size, root: head.root, note: `${head.size}`, now });
      stepsMs.push(performance.now() - stepMs);
      done += taken;
    }
    const seconds = (performance.now() - startedMs) / 1000;
    const { p50, p99 } = spreadOf(stepsMs);
    return {
      title: 'Integration',
      method: `${show(leaves)} queued leaves in 100 batches, in an otherwise empty log on the system's Postgres; each step takes at most ${show(INTEGRATION_LIMIT)} leaves in a transaction (queue rows deleted, leaves and full tiles inserted, batches counted, head written), then the checkpoint is stored in another.`,
      table: [
        ['leaves', 'seconds', 'leaves per s', 'a step p50 / p99 ms'],
        [show(leaves), show(seconds), show(leaves / seconds), `${show(p50)} / ${show(p99)}`],
      ],
      notes: ['Aim ≥ 40,000/s (Tessera, POSIX, on such a machine: 37,500–66,900/s).'],
    };
  } finally {
    await db.end();
  }
}

async function fill(db: ReturnType<typeof createPool>, leaves: number): Promise<void> {
  await db.query(
    `INSERT INTO batches (id, anchor_policy, anchor_window, proof_count, state, leaves_pending, formed_at)
     SELECT gen_random_uuid(), 'NONE', 'express', $1::int / 100, 'SEALED', $1::int / 100, now() FROM generate_series(1, 100)`,
    [leaves],
  );
  await db.query(
    `INSERT INTO leaf_queue (proof_id, batch_id, tenant_id, leaf)
     SELECT gen_random_uuid(), b.id, '00000000-0000-4000-8000-000000000000', sha256(int8send(n))
     FROM (SELECT id, row_number() OVER () - 1 AS k FROM batches) b, generate_series(1, $1::int / 100) n ORDER BY b.k, n`,
    [leaves],
  );
  await db.query('ANALYZE leaf_queue');
}
