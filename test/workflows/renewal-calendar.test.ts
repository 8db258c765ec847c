import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { createLicensing } from '../../activities/licences/import-grant.ts';
import { type Clock, toMicros } from '../../domain/clock.ts';
import type { BaseGrant } from '../../domain/licence/grant.ts';
import { insertGrant } from '../../store/licences.ts';
import { inTransaction } from '../../store/pool.ts';
import type { RenewLicensePeriodsResult } from '../../workflows/renew-license-periods.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { baseGrant, createTestIssuer, TEST_INSTANCE } from '../support/grants.ts';
import { type SeededTenant, seedTenant } from '../support/seed.ts';
import { createTimeSkipping } from '../support/time-skipping.ts';
import { createWorkflowTest, type StandIns, type WorkflowTest } from '../support/workflow-run.ts';

const environment = await createTimeSkipping();
const whereTimeSkips = environment === undefined ? describe.skip : describe;

// That server has no schedules: the workflow is called at the instants at which the hourly schedule would start it.
whereTimeSkips('the calendar of renewals, on a server whose time passes at will', () => {
  const server = environment as TestWorkflowEnvironment;
  let nowMs = 0;
  const clock: Clock = { nowMs: () => nowMs, nowMicros: () => toMicros(BigInt(nowMs) * 1000n) };
  let temporal: WorkflowTest;
  let test: TestDatabase;
  let activities: StandIns;

  beforeAll(async () => {
    test = await createTestDatabase();
    temporal = await createWorkflowTest({ address: server.address, namespace: 'default' });
    activities = createLicensing({
      db: test.pool('proofline_worker'),
      clock,
      issuers: (await createTestIssuer()).jwks,
      instance: TEST_INSTANCE,
      origin: 'log.example/calendar',
      publicUrl: 'https://p.example',
      heartbeat: () => {},
    });
  });
  afterAll(async () => {
    await temporal.close();
    await server.teardown();
    await test.drop();
  });

  /** Lets the server's time pass until `at`. */
  async function passUntil(at: string): Promise<void> {
    await server.sleep(Date.parse(at) - (await server.currentTimeMs()));
    nowMs = await server.currentTimeMs();
  }

  /** The run of the next full hour: it is told no instant, and renews as of its start. */
  async function runOf(at: string): Promise<RenewLicensePeriodsResult> {
    await passUntil(at);
    const result: RenewLicensePeriodsResult = await temporal.client.workflow.execute('renewLicensePeriods', {
      workflowId: `renew-${randomUUID()}`,
      taskQueue: temporal.workflowQueue,
      args: [{}],
    });
    expect(Date.parse(result.at) - Date.parse(at)).toBeLessThan(600_000);
    return result;
  }

  async function grant(tenant: SeededTenant, anchorDate: string, timeZone: string): Promise<void> {
    const term = { type: 'MONTHLY', count: 3, anchorDate, timeZone, rollover: 0 } as const;
    const granted: BaseGrant = { ...baseGrant(tenant.tenantId), notBefore: '2031-01-01T00:00:00Z', term };
    const file = { hash: randomUUID().replaceAll('-', '').repeat(2), jws: '', by: 'test', now: clock.nowMicros() };
    await inTransaction(test.pool('proofline_worker'), (tx) => insertGrant(tx, granted, file));
  }

  it('opens the periods of a leap year in the zone of each grant, across the change of clocks, and expires at the end', async () => {
    const owner = test.pool('proofline_owner');
    const [paris, auckland] = [await seedTenant(owner), await seedTenant(owner)];
    await temporal.run(activities, async () => {
      await passUntil('2032-02-01T00:00:00Z');
      await grant(paris, '2032-01-31', 'Europe/Paris');
      await grant(auckland, '2032-01-31', 'Pacific/Auckland');
      // 29 February begins in Auckland twelve hours before it does in Paris.
      expect(await runOf('2032-02-28T10:00:00Z')).toMatchObject({ opened: 0 });
      expect(await runOf('2032-02-28T11:00:00Z')).toMatchObject({ opened: 1 });
      expect(await runOf('2032-02-28T22:00:00Z')).toMatchObject({ opened: 0 });
      expect(await runOf('2032-02-28T23:00:00Z')).toMatchObject({ opened: 1 });
      // The clocks of Paris went forward on 28 March.
      expect(await runOf('2032-03-30T21:00:00Z')).toMatchObject({ opened: 1, warned: 1 });
      expect(await runOf('2032-03-30T22:00:00Z')).toMatchObject({ opened: 1, warned: 1 });
      // A month without runs; then one run does what fell due meanwhile.
      expect(await runOf('2032-04-29T12:00:00Z')).toMatchObject({ opened: 0, expired: 1, warned: 1 });
      expect(await runOf('2032-04-29T22:00:00Z')).toMatchObject({ expired: 1 });
    });
    const { rows } = await owner.query(
      'SELECT tenant_id, starts_at FROM licence_periods WHERE n > 0 ORDER BY starts_at',
    );
    expect(rows.map((row) => [row.tenant_id, row.starts_at])).toEqual([
      [auckland.tenantId, '2032-02-28T11:00:00.000000Z'],
      [paris.tenantId, '2032-02-28T23:00:00.000000Z'],
      [auckland.tenantId, '2032-03-30T11:00:00.000000Z'],
      [paris.tenantId, '2032-03-30T22:00:00.000000Z'],
    ]);
  }, 60_000);
});
