import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { register } from 'prom-client';
import type { SetupReport } from '../activities/ledger/check-setup.ts';
import { systemClock } from '../domain/clock.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { until } from '../test/support/until.ts';
import { watchLedger } from './watch-ledger.ts';

const ORIGIN = 'log.example/watch';
let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const shown = async (name: string, labels = ''): Promise<string | undefined> =>
  new RegExp(`^${name}${labels.replaceAll(/[{}]/g, '\\$&')} (.+)$`, 'm').exec(await register.metrics())?.[1];

it('shows the runway, the cost of a proof and the setup, and refuses to send while that is wrong', async () => {
  const db = database.pool('proofline_worker');
  for (const [size, fee, leaves] of [
    [3, 90, 3],
    [9, 110, 7],
  ])
    await db.query(
      `INSERT INTO anchors (origin, size, "window", state, fee_tinybars, new_leaves, created_at, updated_at) VALUES ($1, $2, 'express', 'VERIFIED', $3, $4, now(), now())`,
      [ORIGIN, size, fee, leaves],
    );
  const report: SetupReport = { state: 'refused', faults: ['there is no topic 0.0.7'], open: [] };
  const watch = await watchLedger({
    db,
    clock: systemClock(),
    logger: pino({ level: 'silent' }),
    origin: ORIGIN,
    ledger: { health: async () => ({ mirrors: [{ mirror: 'http://m', lagMs: 2_500 }], payerTinybars: '1000' }) },
    maxFeeTinybars: '100',
    checkSetup: async () => report,
  });
  expect(() => watch.requireSetup()).toThrow(
    expect.objectContaining({ code: 'LEDGER_SETUP_INVALID', detail: 'there is no topic 0.0.7' }),
  );
  await until(
    () => shown('proofline_ledger_payer_runway_days'),
    (days) => days === '5',
  );
  expect(await shown('proofline_anchor_tinybars_per_proof')).toBe('20');
  expect(await shown('proofline_anchor_tinybars')).toBe('100');
  expect(await shown('proofline_ledger_mirror_lag_seconds', '{mirror="http://m"}')).toBe('2.5');
  expect(await shown('proofline_ledger_setup', '{state="refused"}')).toBe('1');
  await watch.stop();
});
