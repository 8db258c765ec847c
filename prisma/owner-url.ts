import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const LOCAL = fileURLToPath(new URL('../.proofline/local.json', import.meta.url));

/** The owner's connection: PROOFLINE_DB_OWNER_URL, else that of the system which `npm start` runs. Throws if neither. */
export function ownerUrl(env: NodeJS.ProcessEnv = process.env): string {
  const named = env.PROOFLINE_DB_OWNER_URL;
  if (named !== undefined && named !== '') return named;
  try {
    const { postgresUrl } = JSON.parse(readFileSync(LOCAL, 'utf8')) as { postgresUrl?: unknown };
    if (typeof postgresUrl === 'string') return postgresUrl;
  } catch {
    // Nothing runs here.
  }
  throw new Error('no database: set PROOFLINE_DB_OWNER_URL, or let `npm start` run');
}
