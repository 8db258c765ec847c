import { fileURLToPath } from 'node:url';
import { NO_FILTER, readMigrations } from './migrations.ts';
import { ownerUrl } from './owner-url.ts';
import { withEngine } from './schema-engine.ts';

export interface MigrationStatus {
  /** Here, and not applied to the database. */
  readonly unapplied: readonly string[];
  /** Applied to the database, and not here. */
  readonly unknown: readonly string[];
  readonly failed: readonly string[];
  /** Changed here after they were applied. */
  readonly edited: readonly string[];
}

/** How the database of `url` stands to the migrations of this repository. */
export async function readStatus(url: string): Promise<MigrationStatus> {
  const migrationsList = readMigrations();
  const found = await withEngine(url, (engine) =>
    engine.diagnoseMigrationHistory({ migrationsList, optInToShadowDatabase: false, filters: NO_FILTER }),
  );
  const names = migrationsList.migrationDirectories.map((directory) => directory.path);
  const base = { failed: found.failedMigrationNames, edited: found.editedMigrationNames };
  if (!found.hasMigrationsTable) return { ...base, unapplied: names, unknown: [] };
  const { history } = found;
  switch (history?.diagnostic) {
    case undefined:
      return { ...base, unapplied: [], unknown: [] };
    case 'databaseIsBehind':
      return { ...base, unapplied: history.unappliedMigrationNames, unknown: [] };
    case 'migrationsDirectoryIsBehind':
      return { ...base, unapplied: [], unknown: history.unpersistedMigrationNames };
    case 'historiesDiverge':
      return { ...base, unapplied: history.unappliedMigrationNames, unknown: history.unpersistedMigrationNames };
  }
}

const WORDS: Readonly<Record<keyof MigrationStatus, string>> = {
  unapplied: 'not applied yet',
  unknown: 'applied, but not in prisma/migrations',
  failed: 'failed half-way',
  edited: 'changed after being applied',
};

async function main(): Promise<void> {
  const status = await readStatus(ownerUrl());
  let isCurrent = true;
  for (const [kind, words] of Object.entries(WORDS) as [keyof MigrationStatus, string][]) {
    for (const name of status[kind]) console.log(`${name}: ${words}`);
    isCurrent &&= status[kind].length === 0;
  }
  if (isCurrent) console.log('The database has every migration.');
  else process.exitCode = 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void main();
