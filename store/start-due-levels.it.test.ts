import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { ProofId } from '../domain/ids.ts';
import { seedCertified } from '../test/support/certified-proof.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import { requestPdf } from './certificate-pdfs.read.ts';
import type { Db } from './pool.ts';
import { startDueLevels } from './start-due-levels.ts';
import { withTenant } from './tenant-scope.ts';

const PLACES = 4;
const NOW = '2026-01-31T12:00:00.000000Z';
const BEFORE = '2026-01-31T11:00:00.000000Z';

let database: TestDatabase;
let [db, owner]: Db[] = [];
let tenant: SeededTenant;

beforeAll(async () => {
  database = await createTestDatabase();
  [db, owner] = [database.pool('proofline_worker'), database.pool('proofline_owner')];
  tenant = await seedTenant(database.pool('proofline_owner'));
});
afterAll(() => database.drop());
beforeEach(async () => {
  await pool(owner).query('TRUNCATE certificate_pdfs, pdf_work, outbox');
});

function pool(of: Db | undefined): Db {
  if (of === undefined) throw new Error('no database yet');
  return of;
}

/** Levels that are due by themselves, a second after each other; their proofs in that order. */
async function due(count: number): Promise<readonly ProofId[]> {
  const ids = Array.from({ length: count }, () => randomUUID() as string as ProofId);
  await pool(owner).query(
    `INSERT INTO certificate_pdfs (proof_id, level, tenant_id, requested_at, due_at)
     SELECT id, 'B-T', $2, $3, $3::timestamptz + n * interval '1 s' FROM unnest($1::uuid[]) WITH ORDINALITY AS u (id, n)`,
    [ids, tenant.tenantId, BEFORE],
  );
  return ids;
}

const start = (now = NOW) => startDueLevels(pool(db), now, PLACES);
const ask = (proof: ProofId, at = NOW) =>
  withTenant(database.pool('proofline_api'), tenant.tenantId, (tx) => requestPdf(tx, proof, 'B-T', at));

/** Whose start is owed to Temporal since the last look, in no order. */
async function started(): Promise<string[]> {
  const { rows } = await pool(owner).query("DELETE FROM outbox RETURNING payload ->> 'proofId' AS proof");
  return rows.map((row) => row.proof).sort();
}

const store = (ids: readonly ProofId[]) =>
  pool(owner).query(
    `WITH file AS (INSERT INTO pdf_files (sha256, tenant_id, bytes, created_at) VALUES (sha256(''), $2, '', $3) ON CONFLICT (sha256) DO UPDATE SET created_at = $3 RETURNING sha256)
     UPDATE certificate_pdfs SET sha256 = file.sha256, size = 0, stored_at = $3 FROM file WHERE proof_id = ANY ($1::uuid[])`,
    [ids, tenant.tenantId, NOW],
  );

describe('levels that are due', () => {
  it('are started in portions, those due first, as those before are stored', async () => {
    const ids = await due(2 * PLACES + 1);
    expect(await start()).toBe(true);
    expect(await started()).toEqual(ids.slice(0, PLACES).sort());
    expect(await start()).toBe(true);
    expect(await started()).toEqual([]);
    await store(ids.slice(0, 2));
    expect(await start()).toBe(true);
    expect(await started()).toEqual(ids.slice(PLACES, PLACES + 2).sort());
    await store(ids.slice(2, PLACES + 2));
    expect(await start()).toBe(false);
    expect(await started()).toEqual(ids.slice(PLACES + 2).sort());
  });

  it('wait for nobody when somebody asks for them, however many are due before', async () => {
    const { proofId: fresh } = await seedCertified(pool(owner), tenant, 'o');
    const { proofId: eager } = await seedCertified(pool(owner), tenant, 'o');
    const first = await due(PLACES);
    await pool(owner).query(
      "INSERT INTO certificate_pdfs (proof_id, level, tenant_id, requested_at, due_at) VALUES ($1, 'B-T', $2, $3, $3)",
      [eager, tenant.tenantId, NOW],
    );
    await start();
    await started();
    for (const proof of [fresh, eager]) expect(await ask(proof)).toBe('requested');
    expect(await start()).toBe(false);
    expect(await started()).toEqual([fresh, eager].sort());
    // Nor do they take the places of the others.
    await store(first);
    const next = await due(PLACES);
    await start();
    expect(await started()).toEqual([...next].sort());
  });

  it('have their turn when those before them are not stored for long', async () => {
    const ids = await due(PLACES + 1);
    await start();
    await started();
    expect(await start('2026-01-31T12:09:59.000000Z')).toBe(true);
    expect(await start('2026-01-31T12:10:01.000000Z')).toBe(false);
    expect(await started()).toEqual(ids.slice(PLACES));
  });
});
