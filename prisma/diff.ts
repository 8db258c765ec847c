import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { readCatalog } from './catalog.ts';
import { introspect } from './introspect.ts';
import { migrate } from './migrate.ts';
import { NO_FILTER } from './migrations.ts';
import { ownerUrl } from './owner-url.ts';
import { SCHEMA_FILE } from './pull.ts';
import { withEngine } from './schema-engine.ts';

/**
 * How the database of `url`, the migrations and schema.prisma differ, a line each; empty if they agree. Compares
 * schema.prisma with the database by the schema engine and by introspection, and the whole catalogue with that of a
 * scratch database, made from the migrations beside it (the owner may create databases) and dropped again.
 */
export async function findDrift(url: string): Promise<readonly string[]> {
  return [...(await compareSchemaFile(url)), ...(await compareWithMigrations(url))];
}

async function compareSchemaFile(url: string): Promise<string[]> {
  const content = readFileSync(SCHEMA_FILE, 'utf8');
  const files = [{ path: 'schema.prisma', content }];
  const { exitCode, stdout } = await withEngine(
    url,
    (engine) =>
      engine.diff({
        from: { tag: 'schemaDatamodel', files },
        to: { tag: 'schemaDatasource', files, configDir: '/' },
        script: false,
        exitCode: true,
        filters: NO_FILTER,
      }),
    content,
  );
  if (exitCode !== 0)
    return (stdout ?? '')
      .trim()
      .split('\n')
      .map((line) => `schema.prisma → database: ${line}`);
  if ((await introspect(url)) === content) return [];
  return ['schema.prisma is not what `npm run db:pull` writes'];
}

async function compareWithMigrations(url: string): Promise<string[]> {
  const name = `proofline_scratch_${randomBytes(6).toString('hex')}`;
  const scratch = new URL(url);
  scratch.pathname = `/${name}`;
  await execute(url, `CREATE DATABASE ${name} TEMPLATE template0`);
  try {
    await migrate(scratch.href);
    const [wanted, actual] = await Promise.all([readCatalog(scratch.href), readCatalog(url)]);
    return [
      ...wanted.filter((line) => !actual.includes(line)).map((line) => `only in the migrations: ${line}`),
      ...actual.filter((line) => !wanted.includes(line)).map((line) => `only in the database: ${line}`),
    ];
  } finally {
    // Not WITH (FORCE): that is denied to the owner while an autovacuum worker is in the database; a plain drop ends it.
    await execute(
      url,
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}' AND usename = current_user`,
    );
    await execute(url, `DROP DATABASE ${name}`);
  }
}

async function execute(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

async function main(): Promise<void> {
  const drift = await findDrift(ownerUrl());
  for (const line of drift) console.log(line);
  if (drift.length === 0) console.log('Database, migrations and schema.prisma agree.');
  else process.exitCode = 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void main();
