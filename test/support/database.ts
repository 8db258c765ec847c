import { randomBytes } from 'node:crypto';
import { dropDatabase, ensureDatabase, type Role } from '../../local/postgres/roles.ts';
import { createPool, type Db } from '../../store/pool.ts';
import { testServers } from './servers.ts';

export interface TestDatabase {
  readonly name: string;
  /** Connection string of a login, e.g. for a process under test. */
  url(role: Role): string;
  /** The pool of a login; the same one at each call. `proofline_owner` sees all rows of all tenants. */
  pool(role: Role): Db;
  /** Another database with the same rows, as a dump restored elsewhere; closes the pools of this one, to be asked for anew. */
  copy(): Promise<TestDatabase>;
  /** Closes the pools and drops the database. Throws if a test still holds a connection. */
  drop(): Promise<void>;
}

const POOL_SIZE = 10;
const RELEASE_WITHIN_MS = 2_000;

/** A migrated, empty database of its own for a test file (clone of a template, ~0.1 s). Drop it in `afterAll`. */
export function createTestDatabase(): Promise<TestDatabase> {
  return cloneDatabase(testServers().postgres.template);
}

async function cloneDatabase(template: string): Promise<TestDatabase> {
  const { postgres } = testServers();
  const name = `test_${randomBytes(8).toString('hex')}`;
  const urlOf = (user: string, database: string): string =>
    `postgresql://${user}:${postgres.passwords[user]}@127.0.0.1:${postgres.port}/${database}`;
  const admin = urlOf('postgres', 'postgres');
  await ensureDatabase(admin, name, template);
  const pools = new Map<Role, Db>();
  return {
    name,
    url: (role) => urlOf(role, name),
    pool(role) {
      let pool = pools.get(role);
      if (pool === undefined) {
        pool = createPool({ url: urlOf(role, name), max: POOL_SIZE, applicationName: 'test', onError: () => {} });
        pools.set(role, pool);
      }
      return pool;
    },
    async copy() {
      await Promise.all([...pools.values()].map((pool) => pool.end()));
      pools.clear();
      return cloneDatabase(name);
    },
    async drop() {
      const held = await stillHeld([...pools.values()]);
      await Promise.all([...pools.values()].map((pool) => (held === 0 ? pool.end() : void pool.end())));
      await dropDatabase(admin, name);
      if (held > 0) throw new Error(`a test still holds ${held} connections of ${name}`);
    },
  };
}

/** Connections checked out and not released, after a moment in which the last ones may come back. */
async function stillHeld(pools: readonly Db[]): Promise<number> {
  const count = (): number => pools.reduce((sum, pool) => sum + pool.totalCount - pool.idleCount, 0);
  const deadline = Date.now() + RELEASE_WITHIN_MS;
  while (count() > 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
  return count();
}
