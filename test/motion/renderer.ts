/**
 * The steps of one PDF as a process of its own, with the real signer and a real authority on their sockets. It stops itself
 * (SIGSTOP) before the first statement that begins with `FREEZE`, and says `frozen` before.
 */
import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { createRendering } from '../../activities/rendering/render-activities.ts';
import { createPdfStamping } from '../../activities/rendering/stamp-pdf.ts';
import { createSignerClient } from '../../activities/sealing/signer-client.ts';
import { createTsaPool, type TsaConfig } from '../../activities/timestamping/tsa-pool.ts';
import { systemClock } from '../../domain/clock.ts';
import { createPool } from '../../store/pool.ts';
import { isSerialUnused } from '../../store/timestamps.ts';

const { FREEZE, SETTINGS = '' } = process.env;
const { dbUrl, origin, proofId, signer, tsa } = JSON.parse(SETTINGS) as {
  dbUrl: string;
  origin: string;
  proofId: string;
  signer: { url: string; caFile: string; certFile: string; keyFile: string };
  tsa: TsaConfig;
};
const clock = systemClock();
const db = createPool({ url: dbUrl, max: 4, applicationName: 'renderer', onError: () => {} });
db.on('connect', (client: pg.PoolClient) => {
  const query = client.query.bind(client) as (...args: unknown[]) => unknown;
  const watched = (...args: unknown[]): unknown => {
    if (FREEZE !== undefined && typeof args[0] === 'string' && args[0].trimStart().startsWith(FREEZE)) {
      process.stdout.write('frozen\n');
      process.kill(process.pid, 'SIGSTOP');
    }
    return query(...args);
  };
  Object.assign(client, { query: watched });
});

const pool = createTsaPool({
  tsas: [tsa],
  clock,
  random: randomBytes,
  isSerialUnused: (name, serial) => isSerialUnused(db, name, serial),
});
const client = createSignerClient({ ...signer, clock });
const rendering = createRendering({
  db,
  signer: client,
  revocation: { fetchRevocation: () => Promise.reject(new Error('B-T needs no lists')) },
  roots: [],
  clock,
  origin,
  signerName: 'Proofline',
  tokenReserve: 4_096,
  graceMs: 3_600_000,
  revocationRetryMs: 3_600_000,
  renewBeforeMs: 86_400_000,
});
const key = { proofId, level: 'B-T' };
await rendering.preparePdf(key);
await createPdfStamping({ db, pool }).stampPdf(key);
const { state } = await rendering.storePdf(key);
await Promise.all([pool.close(), client.close(), db.end()]);
process.stdout.write(`${state}\n`);
