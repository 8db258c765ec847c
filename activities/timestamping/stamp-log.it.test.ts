import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { CancelledFailure } from '@temporalio/activity';
import { MockActivityEnvironment } from '@temporalio/testing';
import { systemClock } from '../../domain/clock.ts';
import { writePem } from '../../domain/timestamp/pem.ts';
import { verifyTimestampToken } from '../../domain/timestamp/verify-token.ts';
import { type RunningTsa, startTsa } from '../../local/tsa/start-tsa.ts';
import { makeTestAuthority, type TestAuthority } from '../../local/tsa/test-authority.ts';
import { isSerialUnused, readCoveringTimestamp } from '../../store/timestamps.ts';
import { createTestDatabase, type TestDatabase } from '../../test/support/database.ts';
import { createTimestamping } from './stamp-log.ts';
import type { StampLogState } from './stamp-loop.ts';
import { createTsaPool, type TsaPool } from './tsa-pool.ts';

const ORIGIN = 'test/activity';
const BODY = `${ORIGIN}\n3\n${'A'.repeat(43)}=\n`;
let database: TestDatabase;
let authority: TestAuthority;
let tsa: RunningTsa;
let pool: TsaPool;

beforeAll(async () => {
  database = await createTestDatabase();
  authority = await makeTestAuthority();
  tsa = await startTsa(authority.authority);
  const root = writePem('CERTIFICATE', authority.root.der);
  pool = createTsaPool({
    tsas: [{ name: 'local', url: tsa.url, policies: [authority.authority.policy], roots: [root], selfOperated: true }],
    clock: systemClock(),
    random: (length) => new Uint8Array(randomBytes(length)),
    isSerialUnused: (name, serial) => isSerialUnused(database.pool('proofline_worker'), name, serial),
  });
});
afterAll(async () => {
  await pool.close();
  await tsa.stop();
  await database.drop();
});

it('heartbeats its state as an activity, and is cancelled when it is told so', async () => {
  const db = database.pool('proofline_worker');
  await db.query('INSERT INTO checkpoints (origin, size, root, note, published_at) VALUES ($1, 3, $2, $3, now())', [
    ORIGIN,
    new Uint8Array(32),
    `${BODY}\n— ${ORIGIN} ${Buffer.alloc(68).toString('base64')}\n`,
  ]);
  const environment = new MockActivityEnvironment();
  const beats: StampLogState[] = [];
  environment.on('heartbeat', (state: StampLogState) => {
    beats.push(state);
    // A second beat of idleness comes from the timer.
    if (beats.filter((beat) => beat.state === 'idle').length >= 2) environment.cancel('WORKER_SHUTDOWN');
  });
  const { stampLog } = createTimestamping({
    db,
    pool,
    clock: systemClock(),
    windowMs: 20,
    advanceEvidence: async () => false,
  });
  await expect(environment.run(stampLog, { origin: ORIGIN })).rejects.toBeInstanceOf(CancelledFailure);
  const stored = await readCoveringTimestamp(db, ORIGIN, 2n);
  const imprint = new Uint8Array(createHash('sha256').update(BODY).digest());
  const trust = { imprint, roots: [authority.root.der] };
  expect(await verifyTimestampToken(stored?.token ?? new Uint8Array(), trust)).toMatchObject({ ok: true });
  expect(beats.at(-1)).toMatchObject({ state: 'idle', stampedSize: '3', tsa: 'local', genTime: stored?.genTime });
});
