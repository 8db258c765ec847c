/**
 * Sixteen callers of one tenant's drain as a process of its own, each until nothing is left to serve. With `FREEZE` it
 * stops itself (SIGSTOP) once, inside a transaction that has consumed its units and not committed, and says `frozen` before.
 */
import type pg from 'pg';
import { systemClock } from '../../domain/clock.ts';
import type { TenantId } from '../../domain/ids.ts';
import { drainLicences } from '../../store/drain-licences.ts';
import { createPool } from '../../store/pool.ts';

const CALLERS = 16;
const { FREEZE, SETTINGS = '' } = process.env;
const { dbUrl, origin, tenant } = JSON.parse(SETTINGS) as { dbUrl: string; origin: string; tenant: TenantId };
const db = createPool({ url: dbUrl, max: CALLERS, applicationName: 'drainer', onError: () => {} });
let mayFreeze = FREEZE !== undefined;

db.on('connect', (client: pg.PoolClient) => {
  const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>;
  const watched = async (...args: unknown[]): Promise<unknown> => {
    const result = await query(...args);
    if (mayFreeze && typeof args[0] === 'string' && args[0].includes('INSERT INTO licence_consumptions')) {
      mayFreeze = false;
      process.stdout.write('frozen\n');
      process.kill(process.pid, 'SIGSTOP');
    }
    return result;
  };
  Object.assign(client, { query: watched });
});

let drafted = 0;
await Promise.all(
  Array.from({ length: CALLERS }, async (_, i) => {
    for (;;) {
      const options = { clock: systemClock(), origin, publicUrl: 'https://p.example', limit: 1 + (i % 7) };
      const step = await drainLicences(db, tenant, options);
      drafted += step.drafted;
      if (step.drafted + step.waiting === 0 && !step.more) return;
    }
  }),
);
await db.end();
process.stdout.write(`${drafted}\n`);
