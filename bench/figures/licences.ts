/**
 * How many licence units a second `drainLicences` consumes, each with its certificate's draft. One hot grant and a tree of 100 leaves with shares at every node; a full queue, and
 * callers that bring one proof each. Postgres alone, a process of its own over a
 * folder that is thrown away, fsync on. Ends with every counter held against its rows.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../domain/clock.ts';
import type { OrgUnitId, TenantId } from '../../domain/ids.ts';
import { GRANT_TYPE } from '../../domain/licence/grant.ts';
import { startPostgres } from '../../local/postgres/start-postgres.ts';
import { migrate } from '../../prisma/migrate.ts';
import { checkLicenceCounters } from '../../store/check-licence-counters.ts';
import { drainTogether } from '../../store/drain-together.ts';
import { insertGrant } from '../../store/licences.ts';
import { createPool, type Db, inTransaction } from '../../store/pool.ts';
import type { BenchContext, Section } from '../figure.ts';

const ORIGIN = 'log.example/bench';
const clock = systemClock();
const OPTIONS = { clock, origin: ORIGIN, publicUrl: 'https://bench.example' };

interface Scene {
  readonly owner: Db;
  readonly worker: Db;
}

/** A tenant with `mids` units below its root and `leavesEach` below each; returns the leaves, or the root if there are none. */
async function makeTenant(
  { owner, worker }: Scene,
  mids: number,
  leavesEach: number,
): Promise<{ tenant: TenantId; leaves: readonly OrgUnitId[] }> {
  const tenant = randomUUID() as string as TenantId;
  const now = clock.nowMicros();
  await owner.query('INSERT INTO tenants (id, name, created_at) VALUES ($1, $2, $3)', [tenant, 'Bench', now]);
  const unit = async (path: readonly OrgUnitId[]): Promise<OrgUnitId> => {
    const id = randomUUID() as string as OrgUnitId;
    await owner.query(
      'INSERT INTO org_units (id, tenant_id, parent_id, depth, path, name, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)',
      [id, tenant, path.at(-1) ?? null, path.length, [...path, id], 'Unit', now],
    );
    return id;
  };
  const root = await unit([]);
  const allocations: { orgUnit: OrgUnitId; limit: number }[] = [];
  const leaves: OrgUnitId[] = [];
  for (let m = 0; m < mids; m++) {
    const mid = await unit([root]);
    allocations.push({ orgUnit: mid, limit: 100_000_000 });
    for (let l = 0; l < leavesEach; l++) {
      const leaf = await unit([root, mid]);
      allocations.push({ orgUnit: leaf, limit: 10_000_000 });
      leaves.push(leaf);
    }
  }
  const grant = {
    type: GRANT_TYPE,
    kind: 'BASE',
    grantId: `bench-${tenant}`,
    seq: 1,
    tenant,
    instanceFingerprint: 'f'.repeat(64),
    term: { type: 'PERPETUAL', anchorDate: '2026-01-01', timeZone: 'UTC' },
    quota: 1_000_000_000,
    allocations,
    entitlements: [],
    notBefore: '2026-01-01T00:00:00Z',
  } as const;
  const file = { hash: randomUUID().replaceAll('-', '').repeat(2), jws: '', by: 'bench', now };
  await inTransaction(worker, (tx) => insertGrant(tx, grant, file));
  return { tenant, leaves: leaves.length === 0 ? [root] : leaves };
}

/** Proofs whose evidence is complete, in batches of 2,000, their units by turns. Returns their ids, not yet queued. */
async function makeProofs(
  { owner }: Scene,
  tenant: TenantId,
  units: readonly OrgUnitId[],
  count: number,
): Promise<readonly string[]> {
  const made: string[] = [];
  const now = clock.nowMicros();
  for (let done = 0; done < count; done += 2_000) {
    const n = Math.min(2_000, count - done);
    const [batch, submission] = [randomUUID(), randomUUID()];
    const ids = Array.from({ length: n }, () => randomUUID());
    await owner.query(
      `INSERT INTO batches (id, anchor_policy, anchor_window, proof_count, state, formed_at) VALUES ($1, 'NONE', 'express', $2, 'SEALED', $3)`,
      [batch, n, now],
    );
    await owner.query(
      `INSERT INTO submissions (id, tenant_id, org_unit_id, api_key_id, anchor_policy, anchor_window, proof_count, received_at, body_hash, batch_id)
       VALUES ($1, $2, $3, $3, 'NONE', 'express', $4, $5, sha256('x'), $6)`,
      [submission, tenant, units[0], n, now, batch],
    );
    await owner.query(
      `INSERT INTO proofs (id, tenant_id, org_unit_id, submission_id, ordinal, digest_alg, digest, anchor_policy, received_at, state)
       SELECT id, $2, ($3::uuid[])[1 + n % cardinality($3::uuid[])], $4, n, 'sha-256', sha256(convert_to(id::text, 'UTF8')), 'NONE', $5::timestamptz + n * interval '1 us', 'TIMESTAMPED'
       FROM unnest($1::uuid[]) WITH ORDINALITY AS u (id, n)`,
      [ids, tenant, units, submission, now],
    );
    await owner.query(
      `INSERT INTO seals (proof_id, tenant_id, batch_id, ordinal, kid, version, statement, signature)
       SELECT id, $2, $3, n, 'seal', 1, '{}', '' FROM unnest($1::uuid[]) WITH ORDINALITY AS u (id, n)`,
      [ids, tenant, batch],
    );
    await owner.query(
      `INSERT INTO leaves (index, leaf, proof_id, batch_id, tenant_id)
       SELECT (SELECT coalesce(max(index) + 1, 0) FROM leaves) + n - 1, sha256(convert_to(id::text, 'UTF8')), id, $3, $2 FROM unnest($1::uuid[]) WITH ORDINALITY AS u (id, n)`,
      [ids, tenant, batch],
    );
    made.push(...ids);
  }
  const { rows } = await owner.query<{ size: bigint }>('SELECT max(index) + 1 AS size FROM leaves');
  const size = `${rows[0]?.size ?? 0n}`;
  await owner.query(
    `INSERT INTO checkpoints (origin, size, root, note, published_at) VALUES ($1, $2::bigint, sha256('root'), '', $3) ON CONFLICT DO NOTHING`,
    [ORIGIN, size, now],
  );
  await owner.query(
    `INSERT INTO timestamps (origin, size, tsa, token, token_sha256, gen_time, serial, policy, self_operated, accepted_at)
     VALUES ($1, $2::bigint, 'tsa', 't', sha256('t'), $3, $4, '1.2.3', true, $3) ON CONFLICT DO NOTHING`,
    [ORIGIN, size, now, size],
  );
  await owner.query('ANALYZE');
  return made;
}

const ENQUEUE = `INSERT INTO licence_queue (tenant_id, received_at, proof_id, org_unit_id, batch_id)
  SELECT p.tenant_id, p.received_at, p.id, p.org_unit_id, s.batch_id FROM proofs p JOIN seals s ON s.proof_id = p.id WHERE p.id = ANY ($1::uuid[])`;

/** Drains until nothing is left, by `callers` at once; units a second. */
async function measureBatched(
  { worker }: Scene,
  tenant: TenantId,
  ids: readonly string[],
  callers: number,
): Promise<number> {
  await worker.query(ENQUEUE, [ids]);
  const started = performance.now();
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while ((await drainTogether(worker, tenant, OPTIONS)).more);
    }),
  );
  return (ids.length / (performance.now() - started)) * 1000;
}

/** Each caller queues one proof, drains, and takes the next: whoever holds the lock serves all that wait by then. */
async function measureSingles(
  { worker }: Scene,
  tenant: TenantId,
  ids: readonly string[],
  callers: number,
): Promise<number> {
  const left = ids.values();
  const started = performance.now();
  await Promise.all(
    Array.from({ length: callers }, async () => {
      for (const id of left) {
        await worker.query(ENQUEUE, [[id]]);
        await drainTogether(worker, tenant, OPTIONS);
      }
    }),
  );
  return (ids.length / (performance.now() - started)) * 1000;
}

/** The figure, as `bench/run.ts` takes it. */
export async function measureLicences(context: BenchContext): Promise<Section> {
  const dir = await mkdtemp(join(tmpdir(), 'proofline-bench-'));
  const postgres = await startPostgres({ dataDir: join(dir, 'postgres') });
  const pools: Db[] = [];
  const pool = (role: 'proofline_owner' | 'proofline_worker'): Db => {
    const made = createPool({
      url: postgres.url(role, 'bench'),
      max: 80,
      applicationName: 'bench',
      statementTimeoutMs: 300_000,
      onError: () => undefined,
    });
    pools.push(made);
    return made;
  };
  try {
    await postgres.createDatabase('bench');
    await migrate(postgres.url('proofline_owner', 'bench'));
    const scene: Scene = { owner: pool('proofline_owner'), worker: pool('proofline_worker') };
    const table: string[][] = [['', 'proofs', 'callers', 'how', 'units/s']];
    const [bulk, singles] = context.quick ? [20_000, 2_000] : [60_000, 12_000];
    const best = { batched: 0, singles: 0 };
    for (const [name, mids, leavesEach] of [
      ['one hot grant', 0, 0],
      ['3 levels, 100 leaves', 10, 10],
    ] as const) {
      const { tenant, leaves } = await makeTenant(scene, mids, leavesEach);
      await measureBatched(scene, tenant, await makeProofs(scene, tenant, leaves, 4_000), 1);
      for (const [how, count, callers] of [
        ['batched', bulk, 1],
        ['batched', bulk, 4],
        ['singles', singles / 20, 1],
        ['singles', singles, 64],
      ] as const) {
        const ids = await makeProofs(scene, tenant, leaves, count);
        const run = how === 'batched' ? measureBatched : measureSingles;
        // A process that has served for a while holds its connections.
        await Promise.all(Array.from({ length: callers + 1 }, () => scene.worker.query('SELECT pg_sleep(0.05)')));
        const perSecond = await run(scene, tenant, ids, callers);
        best[how] = Math.max(best[how], perSecond);
        table.push([name, `${count}`, `${callers}`, how, perSecond.toFixed(0)]);
        context.say(table.at(-1)?.join('  ') ?? '');
      }
    }
    const faults = await checkLicenceCounters(scene.worker, clock.nowMicros());
    if (faults.length > 0) throw new Error(`counters do not equal their rows: ${JSON.stringify(faults[0]?.counter)}`);
    return {
      title: 'Licence units consumed a second',
      method:
        'drainLicences over proofs whose evidence is complete, each with its unit at every counter of its path, its consumption row and its certificate draft, in one transaction; Postgres on the same machine, fsync on. Batched: the queue is full, 2,000 proofs a transaction. Singles: each caller queues one proof, drains, and takes the next; callers of one process share the drains of a tenant, so each serves all that wait by then. Afterwards every counter was held against its rows.',
      table,
      notes: [
        `Aim ≥ 20,000 units/s batched: best ${best.batched.toFixed(0)}. Aim ≥ 1,500/s singles: best ${best.singles.toFixed(0)}.`,
      ],
    };
  } finally {
    await Promise.all(pools.map((open) => open.end()));
    await postgres.stop();
    await rm(dir, { recursive: true, force: true });
  }
}
