/** The system under measurement: all of it, each part a process, in a folder that is thrown away afterwards. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readOrMakeSecrets } from '../local/stack/secrets.ts';
import { type Stack, type StackOptions, startStack } from '../local/stack/start-stack.ts';
import { createPool, type Db } from '../store/pool.ts';

export interface System {
  readonly stack: Stack;
  /** As proofline_owner. */
  readonly db: Db;
  /** Connection string of the superuser, for statistics and settings. */
  readonly superuserUrl: string;
  readonly dataDir: string;
  stop(): Promise<void>;
}

/** Starts everything as `npm start` does, on free ports; the log level is `warn` in every process. */
export async function startSystem(options: Pick<StackOptions, 'settings' | 'postgresSettings'> = {}): Promise<System> {
  const { stack, dataDir } = await startAnew(options);
  const db = createPool({
    url: stack.info.postgresUrl,
    max: 4,
    applicationName: 'bench',
    statementTimeoutMs: 120_000,
    onError: () => undefined,
  });
  await db.query('UPDATE tenants SET may_weaken_anchor_policy = true, max_pending = 2000000000');
  const { passwords } = await readOrMakeSecrets(dataDir);
  const superuser = new URL(stack.info.postgresUrl);
  superuser.username = 'postgres';
  superuser.password = passwords.superuser;
  return {
    stack,
    db,
    superuserUrl: superuser.href,
    dataDir,
    async stop() {
      await db.end();
      await stack.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** A port that was free when it was chosen may be another's by the time it is used: then once more. */
async function startAnew(options: Partial<StackOptions>): Promise<{ stack: Stack; dataDir: string }> {
  for (let tries = 1; ; tries++) {
    const dataDir = await mkdtemp(join(tmpdir(), 'proofline-bench-'));
    try {
      return { stack: await startStack({ dataDir, ports: 'any', logLevel: 'warn', ...options }), dataDir };
    } catch (fault) {
      await rm(dataDir, { recursive: true, force: true });
      if (tries === 3) throw fault;
    }
  }
}

/** Waits until nothing is under way, so that one figure does not pay for another. Throws after `withinMs`. */
export async function untilIdle({ db }: System, withinMs = 300_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const { rows } = await db.query<{ busy: boolean }>(
      `SELECT EXISTS (SELECT FROM submission_queue) OR EXISTS (SELECT FROM batches WHERE state <> 'CLOSED')
         OR EXISTS (SELECT FROM outbox) OR EXISTS (SELECT FROM batch_wakes) OR EXISTS (SELECT FROM leaf_queue) AS busy`,
    );
    if (rows[0]?.busy === false) return;
    if (performance.now() > deadline) throw new Error('the system did not come to rest');
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}
