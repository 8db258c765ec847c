import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ProofId, TenantId } from '../domain/ids.ts';
import { acceptProofs } from '../test/support/accepted.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { seedTenant } from '../test/support/seed.ts';
import { readProofs, readTimeline } from './proofs.read.ts';
import { withTenant } from './tenant-scope.ts';

interface Proof {
  readonly id: ProofId;
  readonly tenant: TenantId;
  readonly submission: string;
  readonly batch: string | null;
  readonly leaf: { readonly index: number; readonly batch: string } | null;
  readonly left: readonly { readonly batch: string; readonly lastId: bigint }[];
}

interface Row {
  readonly id: bigint;
  readonly tenant: TenantId;
  readonly submission: string | null;
  readonly batch: string | null;
  readonly from: bigint | null;
  readonly to: bigint | null;
  readonly members: readonly string[] | null;
  readonly exceptions: readonly string[] | null;
}

const BATCHES = Array.from({ length: 3 }, () => randomUUID() as string);
let database: TestDatabase;
let tenants: TenantId[];
let proofs: Proof[];
let rows: Row[];

/** The rule as `TimelineRow` words it, row by row. */
function speaksOf(row: Row, proof: Proof): boolean {
  if (row.tenant !== proof.tenant) return false;
  if (row.members !== null && !row.members.includes(proof.id)) return false;
  if (row.exceptions?.includes(proof.id)) return false;
  if (row.submission !== null) return row.submission === proof.submission;
  if (row.from !== null && row.to !== null) {
    const { leaf } = proof;
    return leaf !== null && leaf.batch === row.batch && leaf.index >= row.from && leaf.index < row.to;
  }
  if (row.batch === proof.batch) return true;
  return proof.left.some(({ batch, lastId }) => batch === row.batch && row.id <= lastId);
}

const expectedOf = (proof: Proof): bigint[] => rows.filter((row) => speaksOf(row, proof)).map(({ id }) => id);

beforeAll(async () => {
  database = await createTestDatabase();
  const owner = database.pool('proofline_owner');
  // Numbers that look random and are the same in each run.
  let state = 7;
  const upTo = (n: number): number => {
    state = (state * 48_271) % 2_147_483_647;
    return state % n;
  };
  const batchAt = (n: number): string => BATCHES[n % BATCHES.length] as string;
  const seeded = await Promise.all([seedTenant(owner), seedTenant(owner)]);
  tenants = seeded.map(({ tenantId }) => tenantId);
  const accepted: Omit<Proof, 'batch' | 'leaf' | 'left'>[] = [];
  for (const tenant of seeded)
    for (let i = 0; i < 3; i++) {
      const { submissionId, proofIds } = await acceptProofs(database, tenant, 8);
      accepted.push(...proofIds.map((id) => ({ id, tenant: tenant.tenantId, submission: submissionId })));
    }

  const pick = (share: number): string[] | null =>
    upTo(2) === 0 ? null : accepted.filter(() => upTo(10) < share).map(({ id }) => id);
  const inserted: Omit<Row, 'id'>[] = Array.from({ length: 240 }, (_, i) => {
    const ofSubmission = i % 4 === 0;
    const from = !ofSubmission && i % 4 === 1 ? BigInt(upTo(30)) : null;
    return {
      tenant: tenants[upTo(2)] as TenantId,
      submission: ofSubmission ? (accepted[upTo(accepted.length)]?.submission ?? null) : null,
      batch: ofSubmission ? null : batchAt(upTo(3)),
      from,
      to: from === null ? null : from + BigInt(upTo(30)),
      members: pick(5),
      exceptions: pick(2),
    };
  });
  const { rows: ids } = await owner.query<{ id: bigint }>(
    `INSERT INTO timeline (tenant_id, submission_id, batch_id, state, at, leaf_from, leaf_to, members, exceptions)
     SELECT tenant, submission, batch, 'SEALED', now(), "from", "to", members, exceptions
     FROM jsonb_to_recordset($1) AS r (tenant uuid, submission uuid, batch uuid, "from" bigint, "to" bigint, members uuid[], exceptions uuid[])
     RETURNING id`,
    [JSON.stringify(inserted.map((row) => ({ ...row, from: row.from?.toString(), to: row.to?.toString() })))],
  );
  const first = await owner.query<Row>(
    `SELECT id, tenant_id AS tenant, submission_id AS submission, NULL AS batch, NULL AS from, NULL AS to, NULL AS members, NULL AS exceptions
     FROM timeline WHERE state = 'RECEIVED'`,
  );
  rows = [...first.rows, ...inserted.map((row, i) => ({ ...row, id: ids[i]?.id ?? 0n }))];

  proofs = accepted.map((proof, i) => {
    const batch = i % 5 === 0 ? null : batchAt(i);
    return {
      ...proof,
      batch,
      leaf: i % 7 === 0 ? null : { index: i, batch: batchAt(i + (i % 4 === 0 ? 1 : 0)) },
      left: [1, 2]
        .filter((n) => (i + n) % 3 === 0)
        .map((n) => ({ batch: batchAt(i + n), lastId: ids[upTo(240)]?.id ?? 0n })),
    };
  });
  for (const { id, tenant, batch, leaf, left } of proofs) {
    if (batch !== null)
      await owner.query(
        `INSERT INTO seals (proof_id, tenant_id, batch_id, ordinal, kid, version, statement) VALUES ($1, $2, $3, (SELECT count(*) FROM seals), 'seal', 1, '{}')`,
        [id, tenant, batch],
      );
    if (leaf !== null)
      await owner.query('INSERT INTO leaves VALUES ($1, sha256($2::text::bytea), $2::uuid, $3, $4)', [
        leaf.index,
        id,
        leaf.batch,
        tenant,
      ]);
    for (const { batch: former, lastId } of left)
      await owner.query('INSERT INTO former_batches VALUES ($1, $2, $3, $4)', [id, former, tenant, lastId.toString()]);
  }
});
afterAll(() => database.drop());

const read = (tenant: TenantId, ids: readonly ProofId[]): Promise<Map<ProofId, bigint[]>> =>
  withTenant(database.pool('proofline_api'), tenant, async (tx) => {
    const { rows: found } = await tx.query<{ proof_id: ProofId; id: bigint }>(
      'SELECT proof_id, id FROM proof_timelines($1) ORDER BY id',
      [ids],
    );
    return new Map([...Map.groupBy(found, (row) => row.proof_id)].map(([id, steps]) => [id, steps.map((s) => s.id)]));
  });

describe('the timelines of many proofs', () => {
  it('hold each row that speaks of the proof once, whatever its shape, asked for together and alone', async () => {
    // Shapes that none of the rows has would prove nothing.
    for (const kind of ['submission', 'batch', 'from', 'members', 'exceptions'] as const)
      expect(rows.filter((row) => row[kind] !== null && proofs.some((p) => speaksOf(row, p))).length).toBeGreaterThan(
        5,
      );
    expect(proofs.some((p) => rows.some((row) => row.batch !== p.batch && row.from === null && speaksOf(row, p)))).toBe(
      true,
    );
    for (const tenant of tenants) {
      const own = proofs.filter((proof) => proof.tenant === tenant);
      const expected = new Map(own.map((proof) => [proof.id, expectedOf(proof)]));
      expect(
        await read(
          tenant,
          own.map(({ id }) => id),
        ),
      ).toEqual(expected);
      for (const { id } of own) expect(await read(tenant, [id])).toEqual(new Map([[id, expected.get(id)]]));
    }
  });

  it('are of the tenant in scope alone', async () => {
    const [mine, theirs] = tenants as [TenantId, TenantId];
    const found = await read(
      mine,
      proofs.map(({ id }) => id),
    );
    expect(new Set(found.keys())).toEqual(new Set(proofs.filter((p) => p.tenant === mine).map(({ id }) => id)));
    expect(
      await read(
        theirs,
        proofs.filter((p) => p.tenant === mine).map(({ id }) => id),
      ),
    ).toEqual(new Map());
  });

  it('are the steps of a proof in order, each with its time, once however often it is asked for', async () => {
    const proof = proofs[1] as Proof;
    await database.pool('proofline_owner').query(
      `INSERT INTO timeline (tenant_id, submission_id, state, changes_state, at) VALUES ($1, $2, 'ANCHORED', false, '2026-02-01T00:00:00.000001Z'),
           ($1, $2, 'TIMESTAMPED', false, now()), ($1, $2, 'CANCELLED', true, '2026-02-01T00:00:00.5Z')`,
      [proof.tenant, proof.submission],
    );
    const { once, twice, timeline } = await withTenant(database.pool('proofline_api'), proof.tenant, async (tx) => ({
      once: (await readProofs(tx, [proof.id])).get(proof.id)?.steps,
      twice: (await readProofs(tx, [proof.id, proof.id])).get(proof.id)?.steps,
      timeline: await readTimeline(tx, proof.id),
    }));
    expect(twice).toEqual(once);
    // A note beside a state that stays is no stage done, unless it is an anchor.
    const steps = timeline.filter((step) => step.changesState || step.state === 'ANCHORED');
    expect(once).toEqual(steps.map(({ state, at }) => ({ state, at })));
    expect(once?.slice(-2)).toEqual([
      { state: 'ANCHORED', at: '2026-02-01T00:00:00.000001Z' },
      { state: 'CANCELLED', at: '2026-02-01T00:00:00.500000Z' },
    ]);
    expect(once).toHaveLength(timeline.length - 1);
  });
});
