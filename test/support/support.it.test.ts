import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Connection } from '@temporalio/client';
import { readSearchAttributes } from '../../temporal-config/search-attributes.ts';
import { createTestDatabase, type TestDatabase } from './database.ts';
import { seedTenant } from './seed.ts';
import { temporalForTest } from './temporal.ts';

describe('a database of a test', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  it('is migrated and lets a seeded key in, found by its hash alone', async () => {
    const seeded = await seedTenant(database.pool('proofline_worker'));
    const found = await database
      .pool('proofline_api')
      .query('SELECT tenant_id, org_unit_id FROM authenticate_key(sha256(convert_to($1, $2)), now())', [
        seeded.apiKey,
        'UTF8',
      ]);
    expect(found.rows).toEqual([{ tenant_id: seeded.tenantId, org_unit_id: seeded.orgUnitId }]);
  });

  it('shows the API role no tenant without a tenant scope, and the worker every one', async () => {
    const { tenantId } = await seedTenant(database.pool('proofline_worker'));
    const select = 'SELECT id FROM tenants WHERE id = $1';
    expect((await database.pool('proofline_api').query(select, [tenantId])).rowCount).toBe(0);
    expect((await database.pool('proofline_worker').query(select, [tenantId])).rowCount).toBe(1);
  });

  it('is dropped loudly when a connection is still held', async () => {
    const other = await createTestDatabase();
    const held = await other.pool('proofline_worker').connect();
    held.on('error', () => {});
    await expect(other.drop()).rejects.toThrow('still holds 1 connections');
    held.release(true);
  });
});

describe('the Temporal server of a run', () => {
  it('has every declared search attribute', async () => {
    const { address, namespace } = temporalForTest();
    const connection = await Connection.connect({ address });
    const listed = await connection.operatorService.listSearchAttributes({ namespace });
    await connection.close();
    expect(Object.keys(listed.customAttributes ?? {})).toEqual(
      expect.arrayContaining(Object.keys(readSearchAttributes())),
    );
  });

  it('gives each caller a task queue of its own', () => {
    expect(temporalForTest().taskQueue).not.toBe(temporalForTest().taskQueue);
  });
});
