import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { findDrift } from './diff.ts';
import { migrate } from './migrate.ts';
import { readStatus } from './status.ts';

describe('the schema', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());
  const owner = (sql: string) => database.pool('proofline_owner').query(sql);

  it('has every migration applied once, and agrees with schema.prisma', async () => {
    const url = database.url('proofline_owner');
    expect(await migrate(url)).toEqual([]);
    expect(await readStatus(url)).toEqual({ unapplied: [], unknown: [], failed: [], edited: [] });
    expect(await findDrift(url)).toEqual([]);
  });

  it.each([
    ['a column', 'ALTER TABLE tenants ADD COLUMN extra text', 'ALTER TABLE tenants DROP COLUMN extra'],
    ['an index', 'CREATE INDEX extra ON proofs (ordinal)', 'DROP INDEX extra'],
    ['a policy', 'CREATE POLICY extra ON proofs USING (true)', 'DROP POLICY extra ON proofs'],
    [
      'row-level security',
      'ALTER TABLE proofs NO FORCE ROW LEVEL SECURITY',
      'ALTER TABLE proofs FORCE ROW LEVEL SECURITY',
    ],
    ['a grant', 'GRANT INSERT ON proofs TO proofline_api', 'REVOKE INSERT ON proofs FROM proofline_api'],
    [
      'a column grant',
      'GRANT UPDATE (name) ON tenants TO proofline_api',
      'REVOKE UPDATE (name) ON tenants FROM proofline_api',
    ],
    ['a function', "CREATE FUNCTION extra() RETURNS int LANGUAGE sql AS 'SELECT 1'", 'DROP FUNCTION extra()'],
    [
      'a check',
      'ALTER TABLE proofs ADD CONSTRAINT extra CHECK (ordinal >= 0)',
      'ALTER TABLE proofs DROP CONSTRAINT extra',
    ],
  ])('is found to have drifted by %s', async (_what, change, undo) => {
    const url = database.url('proofline_owner');
    await owner(change);
    const drift = await findDrift(url);
    await owner(undo);
    expect(drift.join('\n')).not.toBe('');
    expect(await findDrift(url)).toEqual([]);
  });

  it('refuses a database that holds tables and no record of migrations', async () => {
    const other = await createTestDatabase();
    try {
      await other.pool('proofline_owner').query('DROP TABLE _prisma_migrations');
      await expect(migrate(other.url('proofline_owner'))).rejects.toThrow(/not empty/);
    } finally {
      await other.drop();
    }
  });
});
