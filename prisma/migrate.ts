import { fileURLToPath } from 'node:url';
import { NO_FILTER, readMigrations } from './migrations.ts';
import { ownerUrl } from './owner-url.ts';
import { withEngine } from './schema-engine.ts';

/** Applies the migrations that `url` (of proofline_owner) lacks; returns their names. Throws on one that fails. */
export async function migrate(url: string): Promise<readonly string[]> {
  const input = { migrationsList: readMigrations(), filters: NO_FILTER };
  return (await withEngine(url, (engine) => engine.applyMigrations(input))).appliedMigrationNames;
}

// No top-level await: Jest's global set-up cannot load a module that has one.
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  void migrate(ownerUrl()).then((applied) => {
    console.log(applied.length === 0 ? 'Nothing to apply.' : `Applied ${applied.join(', ')}.`);
  });
}
