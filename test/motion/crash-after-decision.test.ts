/** Crashes right after the commits that decide about proofs: for whom a licence is missing, what support asks for, who is started or woken again. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type BatchId, workflowIds } from '../../domain/ids.ts';
import type { Db } from '../../store/pool.ts';
import { HOLD_MS } from '../../workers/form-batches.ts';
import { newProof, ok, type ProofView, type TestClient } from '../e2e/client.ts';
import { type SeededTenant, type SeedOptions, seedTenant } from '../support/seed.ts';
import { grantOfStack } from '../support/stack-grant.ts';
import { until } from '../support/until.ts';
import { type CrashingDb, changes } from './crashing-db.ts';
import { type CrashingSystem, startCrashingSystem } from './crashing-system.ts';

const MAX_TRIES = 4;
/** Well beyond the grace after which the relay takes a batch for stalled. */
const STALLED_MS = 8_000;

let system: CrashingSystem;
let client: TestClient;
let owner: Db;
let workerSide: CrashingDb;
let relaySide: CrashingDb;

beforeAll(async () => {
  system = await startCrashingSystem();
  ({ client, owner, workerSide, relaySide } = system);
}, 120_000);
afterAll(() => system?.stop(), 60_000);

/** The process is dead once it has made this commit. */
async function untilDead(side: CrashingDb, withinMs?: number): Promise<void> {
  await until(side.isDead, (isDead) => isDead, withinMs);
}

/** Does `cause`, lets the process die of the commit that follows, and begin anew. What `cause` gives may take longer. */
async function outlive<T>(
  side: CrashingDb,
  isFatal: (tables: readonly string[]) => boolean,
  cause: () => Promise<T>,
): Promise<T> {
  side.arm(isFatal);
  const result = cause();
  result.catch(() => undefined);
  try {
    await untilDead(side);
  } finally {
    side.revive();
  }
  return result;
}

const submit = (tenant: SeededTenant, count: number, anchorPolicy: string): Promise<{ id: string }> =>
  ok(
    client.request('POST', '/v1/submissions', {
      key: tenant.apiKey,
      body: { anchorPolicy, proofs: Array.from({ length: count }, newProof) },
    }),
    202,
  );

const proofsOf = async (tenant: SeededTenant): Promise<readonly ProofView[]> =>
  (await ok<{ data: ProofView[] }>(client.request('GET', '/v1/proofs', { key: tenant.apiKey }))).data;

async function untilAll(tenant: SeededTenant, state: string): Promise<void> {
  await until(
    async () => (await proofsOf(tenant)).map((proof) => proof.state),
    (states) => states.length > 0 && states.every((one) => one === state),
  );
}

const batchesOf = async (
  tenant: SeededTenant,
): Promise<readonly { id: BatchId; state: string; generation: number }[]> =>
  (
    await owner.query(
      'SELECT DISTINCT b.id, b.state, b.generation FROM batches b JOIN submissions s ON s.batch_id = b.id WHERE s.tenant_id = $1',
      [tenant.tenantId],
    )
  ).rows;

async function untilClosed(tenant: SeededTenant): Promise<void> {
  await until(
    () => batchesOf(tenant),
    (batches) => batches.length > 0 && batches.every((batch) => batch.state === 'CLOSED'),
  );
}

const makeGrant = (tenant: SeededTenant): Promise<string> => grantOfStack(system.dataDir, client, tenant.tenantId);

const importText = (text: string): Promise<Response> =>
  client.request('POST', '/v1/admin/licenses', { text, type: 'application/jose', key: system.stack.info.operatorKey });

/** A tenant with proofs that wait for a licence, their batch with them. */
async function waiting(count: number): Promise<SeededTenant> {
  const tenant = await seedTenant(owner);
  await submit(tenant, count, 'NONE');
  await untilAll(tenant, 'AWAITING_LICENSE');
  return tenant;
}

async function licensed(options: SeedOptions): Promise<SeededTenant> {
  const tenant = await seedTenant(owner, options);
  await importText(await makeGrant(tenant));
  return tenant;
}

/** What is there of a tenant's proofs, each once. */
async function expectOnce(tenant: SeededTenant, proofs: number, certified = proofs): Promise<void> {
  const { rows } = await owner.query(
    `SELECT count(*)::int AS proofs, count(DISTINCT l.index)::int AS leaves, count(DISTINCT c.number)::int AS certificates, count(DISTINCT k.proof_id)::int AS units
     FROM proofs p LEFT JOIN leaves l ON l.proof_id = p.id LEFT JOIN certificates c ON c.proof_id = p.id AND c.signature IS NOT NULL LEFT JOIN licence_consumptions k ON k.proof_id = p.id
     WHERE p.tenant_id = $1`,
    [tenant.tenantId],
  );
  expect(rows[0]).toEqual({ proofs, leaves: proofs, certificates: certified, units: certified });
  for (const { id } of await proofsOf(tenant)) {
    const { data } = await ok<{ data: { state: string; changesState: boolean }[] }>(
      client.request('GET', `/v1/proofs/${id}/timeline`, { key: tenant.apiKey }),
    );
    const steps = data.filter((step) => step.changesState).map((step) => step.state);
    expect(steps).toEqual([...new Set(steps)]);
  }
}

const audited = async (tenant: SeededTenant, action: string): Promise<number | undefined> =>
  (await owner.query('SELECT FROM audit WHERE tenant_id = $1 AND action = $2', [tenant.tenantId, action])).rowCount ??
  undefined;

describe('a crash of the workers right after the commit', () => {
  it('that tells proofs to wait for a licence, and after that which imports one, serves each once', async () => {
    const tenant = await seedTenant(owner);
    await outlive(workerSide, changes('licence_queue', 'proofs', 'timeline'), () => submit(tenant, 3, 'NONE'));
    await untilAll(tenant, 'AWAITING_LICENSE');
    const text = await makeGrant(tenant);
    await outlive(workerSide, changes('licence_grants', 'licence_imports'), () => importText(text));
    await untilAll(tenant, 'CERTIFIED_NO_ANCHOR');
    await untilClosed(tenant);
    await expectOnce(tenant, 3);
    expect(await ok(importText(text))).toMatchObject({ state: 'UNCHANGED' });
    expect(await audited(tenant, 'licence.imported')).toBe(1);
  }, 90_000);

  it('that changes an org tree changes it once and serves whom it gave room', async () => {
    const tenant = await seedTenant(owner);
    const change = { body: { name: 'North', parent: tenant.orgUnitId }, key: tenant.apiKey };
    await outlive(workerSide, changes('org_units', 'org_changes'), () =>
      client.request('POST', '/v1/admin/org-units', change),
    );
    await until(
      async () =>
        (await owner.query('SELECT state, served_at FROM org_changes WHERE tenant_id = $1', [tenant.tenantId])).rows,
      (rows) => rows.length === 1 && rows[0].state === 'APPLIED' && rows[0].served_at !== null,
    );
    expect((await owner.query('SELECT FROM org_units WHERE tenant_id = $1', [tenant.tenantId])).rowCount).toBe(2);
  }, 90_000);
});

describe('a crash of the relay right after the commit', () => {
  it('that applies a command tells the batch, which ends', async () => {
    const tenant = await waiting(1);
    const [proof] = await proofsOf(tenant);
    const answer = await outlive(relaySide, changes('proof_commands', 'proofs', 'outbox'), () =>
      client.request('POST', `/v1/proofs/${proof?.id}/cancel`, { body: { reason: 'a drill' }, key: tenant.apiKey }),
    );
    expect(await answer.json()).toMatchObject({ state: 'APPLIED', applied: 1 });
    await untilClosed(tenant);
    await untilAll(tenant, 'CANCELLED');
    await expectOnce(tenant, 1, 0);
  }, 90_000);

  it('that takes a step of a filter decides each proof once', async () => {
    const tenant = await waiting(3);
    const filter = { tenant: tenant.tenantId, states: ['AWAITING_LICENSE'] };
    const body = { verb: 'cancel', reason: 'a drill', filter };
    const answer = await outlive(relaySide, changes('proof_commands', 'command_requests'), () =>
      client.request('POST', '/v1/proofs/commands', { body, key: system.stack.info.operatorKey }),
    );
    const { links } = (await answer.json()) as { links: { self: string } };
    const path = new URL(links.self).pathname;
    const done = await until(
      async () => ok<{ state: string }>(client.request('GET', path, { key: system.stack.info.operatorKey })),
      ({ state }) => state !== 'PENDING',
    );
    expect(done).toMatchObject({ state: 'APPLIED', matched: 3, counted: true, pending: 0, applied: 3, refused: 0 });
    await untilClosed(tenant);
    await expectOnce(tenant, 3, 0);
  }, 90_000);

  it('that gives a batch its next generation starts it once', async () => {
    const tenant = await waiting(2);
    const [batch] = await batchesOf(tenant);
    const { id, generation } = batch as { id: BatchId; generation: number };
    await outlive(relaySide, changes('batches', 'outbox', '!log_progress'), () =>
      system.temporal.workflow.getHandle(workflowIds.certifyBatch(id, generation)).terminate('by an operator'),
    );
    const next = system.temporal.workflow.getHandle(workflowIds.certifyBatch(id, generation + 1));
    await until(
      () =>
        next.describe().then(
          (run) => run.status.name,
          () => 'not started',
        ),
      (status) => status === 'RUNNING',
    );
    await importText(await makeGrant(tenant));
    await untilClosed(tenant);
    expect(await batchesOf(tenant)).toEqual([{ id, state: 'CLOSED', generation: generation + 1 }]);
    await untilAll(tenant, 'CERTIFIED_NO_ANCHOR');
    await expectOnce(tenant, 2);
  }, 90_000);

  it('that owes a batch the news of its licence, in its turn, tells it once it is back', async () => {
    const tenant = await waiting(2);
    const text = await makeGrant(tenant);
    await outlive(relaySide, changes('batch_wakes', 'batches', 'outbox'), () => importText(text));
    await untilClosed(tenant);
    await untilAll(tenant, 'CERTIFIED_NO_ANCHOR');
    await expectOnce(tenant, 2);
  }, 90_000);

  it('that wakes a batch whose deadline has passed leaves it awake', async () => {
    // The first anchor of its window comes at once, the next in an hour.
    const anchored = await licensed({ anchorWindow: 'economy' });
    await submit(anchored, 1, 'REQUIRED');
    await untilAll(anchored, 'CERTIFIED');
    for (let tries = 1; ; tries++) {
      // Long enough for the batch to be sealed before it.
      const tenant = await licensed({ anchorWindow: 'economy', anchorDeadlineMs: 2_000 * tries });
      relaySide.arm(changes('batches', 'outbox', '!submissions', '!log_progress'));
      await submit(tenant, 2, 'PREFERRED');
      await until(
        async () => relaySide.isDead() || (await batchesOf(tenant)).some((batch) => batch.state === 'CLOSED'),
        (isOver) => isOver,
      );
      const hasDied = relaySide.isDead();
      relaySide.revive();
      await untilClosed(tenant);
      await untilAll(tenant, 'CERTIFIED_NO_ANCHOR');
      await expectOnce(tenant, 2);
      if (hasDied) return;
      expect(tries).toBeLessThan(MAX_TRIES);
    }
  }, 90_000);

  it('that wakes a batch again which did not move, while the workers were dead, certifies it once', async () => {
    const tenant = await licensed({});
    for (let tries = 1; ; tries++) {
      // After a rest nobody may join: such a batch is sealed before its evidence comes.
      await new Promise((resolve) => setTimeout(resolve, HOLD_MS));
      relaySide.arm(changes('batches', 'outbox', '!submissions', '!log_progress'));
      workerSide.arm(changes('log_progress', 'timeline'));
      await submit(tenant, 1, 'NONE');
      await untilDead(workerSide);
      // Where the seal of the batch was not committed yet, there is nothing to wake.
      await untilDead(relaySide, STALLED_MS).catch(() => undefined);
      const hasDied = relaySide.isDead();
      workerSide.revive();
      relaySide.revive();
      await untilClosed(tenant);
      await untilAll(tenant, 'CERTIFIED_NO_ANCHOR');
      await expectOnce(tenant, tries);
      if (hasDied) return;
      expect(tries).toBeLessThan(MAX_TRIES);
    }
  }, 90_000);

  it('leaves nothing open behind', async () => {
    const OPEN = `SELECT (SELECT count(*)::int FROM batches WHERE state <> 'CLOSED') + (SELECT count(*)::int FROM outbox)
      + (SELECT count(*)::int FROM command_requests WHERE NOT is_expanded) + (SELECT count(*)::int FROM proof_commands WHERE state = 'PENDING') AS n`;
    await until(
      async () => (await owner.query<{ n: number }>(OPEN)).rows[0]?.n,
      (n) => n === 0,
    );
  }, 60_000);
});
