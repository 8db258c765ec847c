import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { CommandId, SubmissionId } from '../domain/ids.ts';
import type { ProofState } from '../domain/states.ts';
import { type BatchLife, createBatchLife } from '../test/support/batch-life.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import { type CommandFilter, type CommandRecord, readCommands, requestCommands } from './command-requests.ts';
import { expandFilters } from './expand-commands.ts';
import { type Db, inTransaction } from './pool.ts';

const STEP = 5_000;

let test: TestDatabase;
let owner: Db;
let worker: Db;
let life: BatchLife;
let tenant: SeededTenant;

beforeAll(async () => {
  test = await createTestDatabase();
  owner = test.pool('proofline_owner');
  worker = test.pool('proofline_worker');
  life = createBatchLife(test);
});
afterAll(() => test.drop());
beforeEach(async () => {
  await life.reset();
  tenant = await seedTenant(owner);
});

/** A submission of `count` proofs in this state, received a microsecond apart unless `atOnce`, the first at `from`; as accept() and a life would leave them. */
async function insertProofs(
  of: SeededTenant,
  count: number,
  state: ProofState,
  from: string,
  { atOnce = false } = {},
): Promise<SubmissionId> {
  const submission = randomUUID() as string as SubmissionId;
  await owner.query(
    `INSERT INTO submissions (id, tenant_id, org_unit_id, api_key_id, anchor_policy, anchor_window, proof_count, received_at, body_hash)
     VALUES ($1, $2, $3, $4, 'NONE', 'express', $5, $6, sha256('')::bytea)`,
    [submission, of.tenantId, of.orgUnitId, of.apiKeyId, count, from],
  );
  await owner.query(
    `INSERT INTO proofs (id, tenant_id, org_unit_id, submission_id, ordinal, digest_alg, digest, anchor_policy, received_at, state)
     SELECT gen_random_uuid(), $2, $3, $1, n, 'sha-256', sha256(int4send(n)), 'NONE', $5::timestamptz + $7::int * n * interval '1 microsecond', $6
     FROM generate_series(0, $4::int - 1) n`,
    [submission, of.tenantId, of.orgUnitId, count, from, state, atOnce ? 0 : 1],
  );
  return submission;
}

async function ask(filter: Omit<CommandFilter, 'tenant'>, of = tenant, countRows = 2 * STEP): Promise<CommandId> {
  const id = randomUUID() as string as CommandId;
  const request = {
    id,
    verb: 'cancel' as const,
    actor: 'key:operator',
    reason: 'many',
    target: { filter: { tenant: of.tenantId, ...filter } },
    bodyHash: Buffer.alloc(32),
    at: life.now(),
  };
  expect(await requestCommands(test.pool('proofline_api'), request, countRows)).toEqual({ outcome: 'created', id });
  return id;
}

async function read(id: CommandId): Promise<CommandRecord | undefined> {
  return (await readCommands(test.pool('proofline_api'), id, undefined))?.record;
}

/** How many of the tenant's proofs the filter has passed. */
async function passed(id: CommandId): Promise<number> {
  const { rows } = await owner.query(
    `SELECT count(*)::int AS n FROM command_requests r JOIN proofs p ON p.tenant_id = (r.filter ->> 'tenant')::uuid
     WHERE r.id = $1 AND (p.received_at, p.id) >= (r.cursor_at, r.cursor_id)`,
    [id],
  );
  return rows[0].n;
}

/** Until nothing is open; how many steps it took. */
async function expandAll(): Promise<number> {
  let steps = 0;
  while (await expandFilters(worker, STEP)) steps++;
  return steps;
}

describe('a filter', () => {
  it('that matches one proof behind 50,000 goes step by step, in turns with another, and its count is exact at the end', async () => {
    await insertProofs(tenant, 1, 'FAILED', '2026-01-01T00:00:00.000000Z');
    await insertProofs(tenant, 50_000, 'CERTIFIED', '2026-01-02T00:00:00.000000Z');
    const other = await seedTenant(owner);
    await insertProofs(other, 3, 'RECEIVED', '2026-01-01T00:00:00.000000Z');
    const rare = await ask({ states: ['FAILED'] });
    expect(await read(rare)).toMatchObject({ matched: 0, is_counted: false, is_expanded: false });
    const small = await ask({ states: ['RECEIVED'] }, other);
    expect(await read(small)).toMatchObject({ matched: 3, is_counted: true });

    expect(await expandFilters(worker, STEP)).toBe(true);
    expect([await passed(rare), await passed(small)]).toEqual([STEP, 0]);
    expect(await expandFilters(worker, STEP)).toBe(true);
    expect(await read(small)).toMatchObject({ matched: 3, pending: 3, is_expanded: true });
    for (let step = 2; step <= 10; step++) {
      expect(await expandFilters(worker, STEP)).toBe(true);
      expect(await passed(rare)).toBe(step * STEP);
      expect(await read(rare)).toMatchObject({ matched: 0, pending: 0, is_counted: false, is_expanded: false });
    }
    expect(await expandAll()).toBe(1);
    expect(await read(rare)).toMatchObject({ matched: 1, pending: 1, is_counted: true, is_expanded: true });
  });

  it('that matches 100,000 proofs counts them honestly and works through them in bounded steps', async () => {
    await insertProofs(tenant, 100_000, 'RECEIVED', '2026-01-02T00:00:00.000000Z', { atOnce: true });
    const id = await ask({ states: ['RECEIVED'] });
    expect(await read(id)).toMatchObject({ matched: 2 * STEP, is_counted: false });
    expect(await expandAll()).toBe(101);
    expect(await read(id)).toMatchObject({ matched: 100_000, pending: 100_000, is_counted: true, is_expanded: true });
    const { rows } = await owner.query(
      'SELECT max(n) AS last, count(DISTINCT proof_id)::int AS proofs FROM proof_commands',
    );
    expect(rows).toEqual([{ last: 99_999, proofs: 100_000 }]);
    const counted = await ask({ states: ['RECEIVED'] }, tenant, 200_000);
    expect(await read(counted)).toMatchObject({ matched: 100_000, is_counted: true, is_expanded: false });
  }, 60_000);

  it('counts each proof once, as it was when the count came to it', async () => {
    await insertProofs(tenant, 6_000, 'RECEIVED', '2026-01-02T00:00:00.000000Z');
    const id = await ask({ states: ['RECEIVED'] }, tenant, 2_000);
    expect(await read(id)).toMatchObject({ matched: 2_000, is_counted: false });
    // Of the newest 2,000, which are counted, 500 end before their turn; of the others too.
    await owner.query("UPDATE proofs SET state = 'CANCELLED' WHERE ordinal >= 5500 OR ordinal < 500");
    await expandAll();
    expect(await read(id)).toMatchObject({ matched: 5_500, pending: 5_000, is_counted: true, is_expanded: true });
  });

  it.each([
    ['from an instant on', { receivedFrom: '2026-01-02T00:00:00.005000Z' }, 5_000],
    ['up to an instant', { receivedTo: '2026-01-02T00:00:00.000100Z' }, 100],
    ['between two', { receivedFrom: '2026-01-02T00:00:00.000010Z', receivedTo: '2026-01-02T00:00:00.000020Z' }, 10],
    ['from one that is to come', { receivedFrom: '2027-01-01T00:00:00.000000Z' }, 0],
  ])('%s reads the proofs between its bounds and no other', async (_what, bounds, matched) => {
    await insertProofs(tenant, 10_000, 'RECEIVED', '2026-01-02T00:00:00.000000Z');
    const id = await ask({ states: ['RECEIVED'], ...bounds });
    expect(await read(id)).toMatchObject({ matched });
    expect(await rowsRead(id)).toEqual({ node: 'Index Scan', index: 'proofs_listing', rows: matched, removed: 0 });
    await expandAll();
    expect(await read(id)).toMatchObject({ matched, pending: matched, is_counted: true, is_expanded: true });
  });

  it('over one submission reads what was received with it, and nothing of one that is unknown', async () => {
    await insertProofs(tenant, 10_000, 'RECEIVED', '2026-01-02T00:00:00.000000Z');
    const submission = await insertProofs(tenant, 7, 'RECEIVED', '2026-01-02T00:00:00.000100Z', { atOnce: true });
    const id = await ask({ states: ['RECEIVED'], submission });
    expect(await read(id)).toMatchObject({ matched: 7, is_counted: true });
    expect(await rowsRead(id)).toMatchObject({ rows: 8, removed: 0 });
    const unknown = await ask({ states: ['RECEIVED'], submission: randomUUID() as string as SubmissionId });
    expect(await rowsRead(unknown)).toMatchObject({ rows: 0, removed: 0 });
    await expandAll();
    expect(await read(id)).toMatchObject({ matched: 7, pending: 7, is_expanded: true });
    expect(await read(unknown)).toMatchObject({ matched: 0, pending: 0, is_expanded: true });
  });
});

/** What a step of the open filter reads of the table, as Postgres says of the plan that both callers ask for. */
async function rowsRead(id: CommandId): Promise<object> {
  const { rows } = await owner.query(
    'SELECT filter, floor_at::text AS floor, cursor_at::text AS at, cursor_id FROM command_requests WHERE id = $1',
    [id],
  );
  const { filter, floor, at, cursor_id } = rows[0];
  const plans = await inTransaction(worker, async (tx) => {
    await tx.query('SET LOCAL enable_sort = off');
    const explained = await tx.query(
      'EXPLAIN (ANALYZE, FORMAT JSON) SELECT f.id FROM read_filter($1, $2, $3, $4, $5) f WHERE f.is_match',
      [JSON.stringify(filter), floor, at, cursor_id, 20_000],
    );
    return explained.rows;
  });
  let node = plans[0]['QUERY PLAN'][0].Plan;
  while (node.Plans !== undefined) [node] = node.Plans;
  return {
    node: node['Node Type'],
    index: node['Index Name'],
    rows: node['Actual Rows'],
    removed: node['Rows Removed by Filter'] ?? 0,
  };
}
