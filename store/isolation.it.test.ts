import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { TenantId } from '../domain/ids.ts';
import { acceptProofs } from '../test/support/accepted.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { coverLeaves, seedQueuedProofs } from '../test/support/queued-proofs.ts';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import { withTenant } from './tenant-scope.ts';

/** What the API may read without a tenant: the public log, and of batches and leaves what names nobody. */
const PUBLIC: Readonly<Record<string, readonly string[] | 'all'>> = {
  log_head: 'all',
  tiles: 'all',
  checkpoints: 'all',
  timestamps: 'all',
  archive_tokens: 'all',
  archive_members: 'all',
  anchors: 'all',
  contract_anchors: 'all',
  published_keys: 'all',
  instance: 'all',
  leaves: ['index', 'leaf'],
  batches: ['id', 'generation'],
  licence_revocation_lists: ['number', 'hash', 'issued_at', 'next_update', 'imported_at'],
  licence_clock: 'all',
};
/** Tables in which the seed below leaves rows of the tenant. */
const SEEDED = ['tenants', 'org_units', 'api_keys', 'submissions', 'proofs', 'seals', 'timeline'];

interface Table {
  readonly name: string;
  /** Columns that the API may read. */
  readonly readable: readonly string[];
  readonly columns: number;
  readonly isForced: boolean;
  readonly policies: readonly { readonly name: string; readonly qual: string }[];
}

let database: TestDatabase;
let owned: SeededTenant;
let foreign: SeededTenant;
let tables: readonly Table[];

beforeAll(async () => {
  database = await createTestDatabase();
  const owner = database.pool('proofline_owner');
  owned = await seedTenant(owner);
  foreign = await seedTenant(owner);
  await acceptProofs(database, owned, 3);
  await seedQueuedProofs(owner, 2, owned);
  await coverLeaves(owner, { origin: 'isolation.test/log', anchor: 'VERIFIED' });
  const { rows } = await owner.query(
    `SELECT c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS "isForced",
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         AND has_column_privilege('proofline_api', c.oid, a.attnum, 'SELECT') ORDER BY a.attnum) AS readable,
       (SELECT count(*)::int FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       coalesce((SELECT json_agg(json_build_object('name', p.policyname, 'qual', p.qual)) FROM pg_policies p
         WHERE p.tablename = c.relname AND p.roles && ARRAY['public', 'proofline_api']::name[]), '[]') AS policies
     FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY c.relname`,
  );
  tables = rows;
});
afterAll(() => database.drop());

const tenantTables = (): readonly Table[] =>
  tables.filter(({ name, readable }) => readable.length > 0 && !Object.hasOwn(PUBLIC, name));

/** Rows of each of a tenant's tables that this scope shows. */
async function countVisible(tenant: TenantId | undefined): Promise<Record<string, number>> {
  const api = database.pool('proofline_api');
  const counts: Record<string, number> = {};
  for (const { name, readable } of tenantTables()) {
    const sql = `SELECT "${readable[0]}" FROM ${name}`;
    const { rowCount } =
      tenant === undefined ? await api.query(sql) : await withTenant(api, tenant, (tx) => tx.query(sql));
    counts[name] = rowCount ?? 0;
  }
  return counts;
}

describe('the login of the API', () => {
  it('sees no row of any tenant without a tenant in scope', async () => {
    expect(tenantTables().length).toBeGreaterThan(8);
    expect(await countVisible(undefined)).toEqual(Object.fromEntries(tenantTables().map(({ name }) => [name, 0])));
  });

  it("sees its own tenant's rows and nothing of another's", async () => {
    const own = await countVisible(owned.tenantId);
    for (const name of SEEDED) expect([name, own[name]]).not.toEqual([name, 0]);
    const bare = { tenants: 1, org_units: 1, api_keys: 1 };
    const others = await countVisible(foreign.tenantId);
    expect(others).toEqual({ ...Object.fromEntries(tenantTables().map(({ name }) => [name, 0])), ...bare });
  });

  it('reads a table either under forced row-level security by tenant alone, or as a listed public one', () => {
    for (const { name, readable, columns, isForced, policies } of tables) {
      if (readable.length === 0) continue;
      const allowed = PUBLIC[name];
      if (allowed === undefined) {
        expect({ name, isForced, policies }).toEqual({
          name,
          isForced: true,
          policies: [
            {
              name: 'tenant',
              qual: expect.stringMatching(/^\(\w*id = \(NULLIF\(current_setting\('proofline\.tenant'/),
            },
          ],
        });
      } else if (allowed === 'all') expect({ name, readable: readable.length }).toEqual({ name, readable: columns });
      else expect({ name, readable }).toEqual({ name, readable: allowed });
    }
  });

  it('writes into no table', async () => {
    const { rows } = await database.pool('proofline_owner').query(
      `SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
       AND (has_any_column_privilege('proofline_api', c.oid, 'INSERT, UPDATE') OR has_table_privilege('proofline_api', c.oid, 'DELETE, TRUNCATE'))`,
    );
    expect(rows).toEqual([]);
  });
});

describe('the login of intake', () => {
  it('may execute one function and has no right to any table or sequence', async () => {
    const { rows } = await database.pool('proofline_intake').query(
      `SELECT
         ARRAY(SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
           AND (has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE') OR has_table_privilege(c.oid, 'DELETE, TRUNCATE'))) AS tables,
         ARRAY(SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND CASE WHEN c.relkind = 'S'
           THEN has_sequence_privilege(c.oid, 'USAGE, SELECT, UPDATE') ELSE false END) AS sequences,
         ARRAY(SELECT p.proname::text FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND has_function_privilege(p.oid, 'EXECUTE')) AS functions`,
    );
    expect(rows[0]).toEqual({ tables: [], sequences: [], functions: ['accept'] });
  });
});

describe('no login of a process', () => {
  it('owns anything, becomes the owner, or passes row-level security', async () => {
    const { rows } = await database.pool('proofline_owner').query(
      `SELECT r.rolname, r.rolsuper, r.rolbypassrls, pg_has_role(r.oid, 'proofline_owner', 'MEMBER') AS "isOwner",
         (SELECT count(*)::int FROM pg_class c WHERE c.relowner = r.oid) + (SELECT count(*)::int FROM pg_proc p WHERE p.proowner = r.oid) AS owns
       FROM pg_roles r WHERE r.rolname IN ('proofline_api', 'proofline_intake', 'proofline_worker') ORDER BY 1`,
    );
    const nothing = { rolsuper: false, rolbypassrls: false, isOwner: false, owns: 0 };
    expect(rows).toEqual(
      ['proofline_api', 'proofline_intake', 'proofline_worker'].map((rolname) => ({ rolname, ...nothing })),
    );
  });

  it('can lead a function of the owner astray: each fixes its search path', async () => {
    const { rows } = await database.pool('proofline_owner').query(
      `SELECT p.proname, p.proconfig FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef
       AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE c LIKE 'search_path=%')`,
    );
    expect(rows).toEqual([]);
  });
});
