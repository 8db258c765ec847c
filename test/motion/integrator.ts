/**
 * An integrator as a process of its own, which stops itself (SIGSTOP) once, where `STOP_AT` says: `transaction` (leaves
 * taken, nothing committed) or `commit` (the head committed and unsigned). Says `stopped` before and its report, or the
 * code it failed with, at the end: SIGTERM.
 */
import type pg from 'pg';
import { runIntegration } from '../../activities/integration/run-integration.ts';
import { createSignerClient } from '../../activities/sealing/signer-client.ts';
import { systemClock } from '../../domain/clock.ts';
import { createPool } from '../../store/pool.ts';

const { STOP_AT, SIZE = '0', SETTINGS = '' } = process.env;
const {
  dbUrl,
  origin,
  signer: at,
} = JSON.parse(SETTINGS) as {
  dbUrl: string;
  origin: string;
  signer: { url: string; caFile: string; certFile: string; keyFile: string };
};
const clock = systemClock();
const signer = createSignerClient({ ...at, clock });
const db = createPool({
  url: dbUrl,
  max: 4,
  applicationName: 'integrator',
  idleInTransactionMs: 300,
  onError: () => {},
});
let mayStop = STOP_AT !== undefined;

function stopHere(): void {
  mayStop = false;
  process.stdout.write('stopped\n');
  process.kill(process.pid, 'SIGSTOP');
}

db.on('connect', (client: pg.PoolClient) => {
  const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>;
  const watched = async (...args: unknown[]): Promise<unknown> => {
    const result = await query(...args);
    const isTaken = typeof args[0] === 'string' && args[0].startsWith('UPDATE log_head SET size');
    if (mayStop && STOP_AT === 'transaction' && isTaken) stopHere();
    return result;
  };
  Object.assign(client, { query: watched });
});

const abort = new AbortController();
process.on('SIGTERM', () => abort.abort());
const report = await runIntegration(
  {
    db,
    origin,
    clock,
    logger: { info() {}, warn() {} },
    checkpointIntervalMs: 20,
    signer: {
      key: (kid) => signer.key(kid),
      lastCheckpoint: (of) => signer.lastCheckpoint(of),
      sign(request, signal) {
        if (mayStop && STOP_AT === 'commit' && request.context.size === SIZE) stopHere();
        return signer.sign(request, signal);
      },
    },
  },
  { signal: abort.signal, heartbeat() {} },
).catch((error: { code?: string }) => ({ failed: error.code ?? String(error) }));
process.stdout.write(`${JSON.stringify(report)}\n`);
await signer.close();
await db.end();
