/** Jest's global set-up of the integration tests: one Postgres with a migrated template, one Temporal server. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newPasswords, startPostgres } from '../../local/postgres/start-postgres.ts';
import { startGuard } from '../../local/stack/guard.ts';
import { startTemporal } from '../../local/temporal/start-temporal.ts';
import { migrate } from '../../prisma/migrate.ts';
import { readSearchAttributes } from '../../temporal-config/search-attributes.ts';
import { publishServers } from './servers.ts';

const TEMPLATE = 'proofline_template';

export default async function startServers(): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'proofline-test-'));
  const guard = startGuard();
  const passwords = newPasswords();
  const [postgres, temporal] = await Promise.all([
    startPostgres({ dataDir: join(dir, 'postgres'), passwords, guard, maxConnections: 300 }),
    startTemporal({
      dbFile: join(dir, 'temporal.db'),
      uiPort: false,
      searchAttributes: readSearchAttributes(),
      guard,
      onProgress: (line) => process.stderr.write(`${line}\n`),
    }),
  ]);
  await postgres.createDatabase(TEMPLATE);
  await migrate(postgres.url('proofline_owner', TEMPLATE));
  publishServers({
    postgres: { port: postgres.port, passwords: { ...passwords, postgres: passwords.superuser }, template: TEMPLATE },
    temporal: { address: temporal.address, namespace: temporal.namespace },
  });
  (globalThis as { stopTestServers?: () => Promise<void> }).stopTestServers = async () => {
    await Promise.all([temporal.stop(), postgres.stop()]);
    await guard.close();
    await rm(dir, { recursive: true, force: true });
  };
}
