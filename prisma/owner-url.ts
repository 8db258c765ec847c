import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');

/**
 * The owner's connection: PROOFLINE_DB_OWNER_URL, else that of the system which `npm start` runs with its data in
 * PROOFLINE_DATA_DIR (default `.proofline`). Throws if neither.
 */
export function ownerUrl(env: NodeJS.ProcessEnv = process.env): string {
  const named = env.PROOFLINE_DB_OWNER_URL;
  if (named !== undefined && named !== '') return named;
  try {
    const { postgresUrl } = JSON.parse(
      readFileSync(join(env.PROOFLINE_DATA_DIR ?? join(ROOT, '.proofline'), 'local.json'), 'utf8'),
    ) as { postgresUrl?: unknown };
    if (typeof postgresUrl === 'string') return postgresUrl;
  } catch {
    // Nothing runs here.
  }
  throw new Error('no database: set PROOFLINE_DB_OWNER_URL, or let `npm start` run');
}
