import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { OrgUnitId } from '../../domain/ids.ts';
import { checkLicenceCounters } from '../../store/check-licence-counters.ts';
import { insertGrant } from '../../store/licences.ts';
import { inTransaction } from '../../store/pool.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { baseGrant } from '../support/grants.ts';
import { coverLeaves, seedOrgUnit, seedQueuedProofs } from '../support/queued-proofs.ts';
import { seedTenant } from '../support/seed.ts';

const DRAINER = fileURLToPath(new URL('./drainer.ts', import.meta.url));
const ORIGIN = 'log.example/killed';
const NOW = new Date().toISOString().replace('Z', '000Z');

let database: TestDatabase;
const children: ChildProcess[] = [];
beforeAll(async () => {
  database = await createTestDatabase();
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});
afterAll(() => database.drop());

interface Drainer {
  readonly frozen: Promise<void>;
  /** What it drafted, once nothing was left. */
  readonly done: Promise<number>;
  kill(): void;
}

function startDrainer(tenant: string, freezes: boolean): Drainer {
  const settings = { dbUrl: database.url('proofline_worker'), origin: ORIGIN, tenant };
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', DRAINER], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, SETTINGS: JSON.stringify(settings), ...(freezes && { FREEZE: '1' }) },
  });
  children.push(child);
  const frozen = Promise.withResolvers<void>();
  const done = Promise.withResolvers<number>();
  createInterface({ input: child.stdout }).on('line', (line) =>
    line === 'frozen' ? frozen.resolve() : done.resolve(Number(line)),
  );
  return { frozen: frozen.promise, done: done.promise, kill: () => void child.kill('SIGKILL') };
}

/** Until so many sessions of the database wait for a lock. */
async function waitersOf(count: number): Promise<void> {
  for (;;) {
    const { rows } = await database
      .pool('proofline_owner')
      .query(
        'SELECT count(DISTINCT l.pid)::int AS n FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.datname = current_database()',
      );
    if (rows[0].n >= count) return;
  }
}

describe('64 callers in four processes, two of them killed with their units taken and not committed', () => {
  it('consume exactly what is there at every node', async () => {
    const owner = database.pool('proofline_owner');
    const tenant = await seedTenant(owner);
    const left = await seedOrgUnit(owner, tenant.tenantId, tenant.orgUnitId);
    const right = await seedOrgUnit(owner, tenant.tenantId, tenant.orgUnitId);
    const leaf = await seedOrgUnit(owner, tenant.tenantId, left);
    const limits: readonly [OrgUnitId, number][] = [
      [left, 150],
      [leaf, 40],
      [right, 60],
    ];
    for (const orgUnitId of [tenant.orgUnitId, left, right, leaf])
      await seedQueuedProofs(owner, 200, { tenantId: tenant.tenantId, orgUnitId });
    await coverLeaves(owner, { origin: ORIGIN, at: NOW });
    const granted = {
      ...baseGrant(tenant.tenantId),
      quota: 300,
      allocations: limits.map(([orgUnit, limit]) => ({ orgUnit, limit })),
    };
    const file = { hash: randomUUID().replaceAll('-', '').repeat(2), jws: '', by: 'test', now: NOW };
    await inTransaction(database.pool('proofline_worker'), (tx) => insertGrant(tx, granted, file));

    // A frozen one holds the tenant: all others wait until it is killed, and the first of them freezes next.
    const first = startDrainer(tenant.tenantId, true);
    await first.frozen;
    const second = startDrainer(tenant.tenantId, true);
    await waitersOf(16);
    const others = [startDrainer(tenant.tenantId, false), startDrainer(tenant.tenantId, false)];
    await waitersOf(48);
    first.kill();
    await second.frozen;
    second.kill();
    const [a = 0, b = 0] = await Promise.all(others.map((drainer) => drainer.done));
    expect(a + b).toBeGreaterThan(0);

    expect(await checkLicenceCounters(database.pool('proofline_worker'), NOW)).toEqual([]);
    const { rows: totals } = await owner.query(
      `SELECT (SELECT used FROM licence_periods) AS used, (SELECT count(*) FROM licence_consumptions) AS units, (SELECT count(*) FROM certificates) AS drafts,
         (SELECT count(*) FROM licence_queue) AS waiting, (SELECT count(*) FROM proofs WHERE state = 'AWAITING_LICENSE') AS told`,
    );
    expect(totals).toEqual([{ used: 300n, units: 300n, drafts: 300n, waiting: 500n, told: 500n }]);
    const { rows: shares } = await owner.query('SELECT org_unit_id AS unit, quota, used FROM licence_allocations');
    for (const { quota, used } of shares) expect(used <= quota).toBe(true);
    expect(shares.find(({ unit }) => unit === right)?.used).toBe(60n);
  }, 60_000);
});
