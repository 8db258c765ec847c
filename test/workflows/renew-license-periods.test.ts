import { randomUUID } from 'node:crypto';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { type Clock, toMicros } from '../../domain/clock.ts';
import type { BaseGrant } from '../../domain/licence/grant.ts';
import { insertGrant } from '../../store/licences.ts';
import { inTransaction } from '../../store/pool.ts';
import { keepTrustedTime } from '../../store/renew-licences.ts';
import { applySchedules } from '../../temporal-config/apply-schedules.ts';
import { readSchedules } from '../../temporal-config/schedules.ts';
import type { RenewLicensePeriodsResult } from '../../workflows/renew-license-periods.ts';
import { baseGrant } from '../support/grants.ts';
import { keepHistory } from '../support/keep-history.ts';
import { useLicensing } from '../support/licensing.ts';
import { coverLeaves, seedQueuedProofs } from '../support/queued-proofs.ts';
import { type SeededTenant, seedTenant } from '../support/seed.ts';
import { temporalForTest } from '../support/temporal.ts';

const ORIGIN = 'log.example/renewal';
let nowMs = 0;
const clock: Clock = { nowMs: () => nowMs, nowMicros: () => toMicros(BigInt(nowMs) * 1000n) };
const licensing = useLicensing({ clock, origin: ORIGIN });
let tenant: SeededTenant;

beforeEach(async () => {
  await licensing.owner.query(
    'TRUNCATE tenants, batches, seals, leaves, checkpoints, timestamps, outbox, events, timeline, audit, licence_unit_usage CASCADE',
  );
  await licensing.owner.query('UPDATE licence_clock SET trusted_at = NULL, source = NULL, refusal = NULL');
  tenant = await seedTenant(licensing.owner);
});

async function grant(at: string, changes: Partial<BaseGrant>): Promise<void> {
  nowMs = Date.parse(at);
  const granted = { ...baseGrant(tenant.tenantId), ...changes };
  const file = { hash: randomUUID().replaceAll('-', '').repeat(2), jws: '', by: 'test', now: clock.nowMicros() };
  await inTransaction(licensing.worker, (tx) => insertGrant(tx, granted, file));
}

/** Calls the workflow as a schedule would at `at`, the clock of the workers saying the same unless told otherwise. */
async function renewAt(at: string, clockSays = at): Promise<RenewLicensePeriodsResult> {
  nowMs = Date.parse(clockSays);
  return licensing.temporal.client.workflow.execute('renewLicensePeriods', {
    workflowId: `renew-${randomUUID()}`,
    taskQueue: licensing.temporal.workflowQueue,
    args: [{ at }],
  });
}

async function events(): Promise<unknown[]> {
  const { rows } = await licensing.owner.query(
    "SELECT at, type, payload FROM events WHERE type LIKE 'license.%' ORDER BY id",
  );
  return rows.map((row) => [row.at.slice(0, 10), row.type, row.payload.days ?? row.payload.period]);
}

async function periods(): Promise<unknown[]> {
  const { rows } = await licensing.owner.query('SELECT n, starts_at, quota FROM licence_periods ORDER BY n');
  return rows.map((row) => [row.n, row.starts_at, row.quota]);
}

const MONTHLY = {
  quota: 10,
  term: { type: 'MONTHLY', count: 3, anchorDate: '2026-01-31', timeZone: 'Europe/Paris', rollover: 4 },
} as const;

describe('renewLicensePeriods', () => {
  it('opens each period at its first instant in the zone of the grant, warns 30, 7 and 1 days before the end, and expires', async () => {
    await licensing.temporal.run(licensing.activities(), async () => {
      await grant('2026-02-01T00:00:00Z', MONTHLY);
      expect(await renewAt('2026-02-27T22:00:00Z')).toMatchObject({ opened: 0, warned: 0 });
      expect(await renewAt('2026-02-27T23:00:00Z')).toMatchObject({ opened: 1 });
      // 31 March, two days after the clocks went forward.
      expect(await renewAt('2026-03-30T21:00:00Z')).toMatchObject({ opened: 0, warned: 0 });
      expect(await renewAt('2026-03-30T22:00:00Z')).toMatchObject({ opened: 1, warned: 1 });
      expect(await renewAt('2026-03-30T23:00:00Z')).toMatchObject({ opened: 0, warned: 0 });
      expect(await renewAt('2026-04-22T21:00:00Z')).toMatchObject({ warned: 0 });
      expect(await renewAt('2026-04-22T22:00:00Z')).toMatchObject({ warned: 1 });
      expect(await renewAt('2026-04-28T22:00:00Z')).toMatchObject({ warned: 1 });
      expect(await renewAt('2026-04-29T22:00:00Z')).toMatchObject({ expired: 1 });
      expect(await renewAt('2026-04-29T23:00:00Z')).toMatchObject({ expired: 0, warned: 0 });
    });
    expect(await periods()).toEqual([
      [0, '2026-01-30T23:00:00.000000Z', 10n],
      [1, '2026-02-27T23:00:00.000000Z', 14n],
      [2, '2026-03-30T22:00:00.000000Z', 14n],
    ]);
    expect(await events()).toEqual([
      ['2026-03-30', 'license.expiring', 30],
      ['2026-04-22', 'license.expiring', 7],
      ['2026-04-28', 'license.expiring', 1],
    ]);
  });

  it('after a week of downtime does what the missed runs would have done, and warns once', async () => {
    await licensing.temporal.run(licensing.activities(), async () => {
      await grant('2026-02-01T00:00:00Z', { ...MONTHLY, term: { ...MONTHLY.term, count: 2 } });
      await renewAt('2026-02-24T00:00:00Z');
      expect(await renewAt('2026-03-30T00:00:00Z')).toMatchObject({ opened: 1, warned: 1, expired: 0 });
      expect(await renewAt('2026-03-30T01:00:00Z')).toMatchObject({ opened: 0, warned: 0 });
    });
    expect(await events()).toEqual([['2026-03-30', 'license.expiring', 1]]);
  });

  it('serves who waited for the new period, and says once that a period is used up', async () => {
    await licensing.temporal.run(licensing.activities(), async () => {
      await grant('2026-02-01T00:00:00Z', { ...MONTHLY, quota: 2, term: { ...MONTHLY.term, rollover: 0 } });
      await seedQueuedProofs(licensing.owner, 5, tenant);
      await coverLeaves(licensing.owner, { origin: ORIGIN, at: '2026-02-01T00:00:00.000000Z' });
      expect(await renewAt('2026-02-02T00:00:00Z')).toMatchObject({ served: 2 });
      expect(await renewAt('2026-02-02T01:00:00Z')).toMatchObject({ served: 0 });
      expect(await renewAt('2026-02-28T00:00:00Z')).toMatchObject({ opened: 1, served: 2 });
    });
    expect(await events()).toEqual([
      ['2026-02-02', 'license.exhausted', 0],
      ['2026-02-28', 'license.exhausted', 1],
    ]);
  });

  it('trusts the consensus time of a contract as that of a topic', async () => {
    const { owner, worker } = licensing;
    const at = '2026-03-01T00:00:00.000000Z';
    const entry = { ledger: 'hedera-contract/v1', consensusTimestamp: `${Date.parse(at) / 1000}.123456789` };
    await owner.query(
      `INSERT INTO contract_anchors (origin, size, carries_proofs, state, attempt, entry, created_at, updated_at)
       VALUES ($1, 7, true, 'VERIFIED', 1, $2, $3, $3), ($1, 8, true, 'SENT', 1, NULL, $3, $3)`,
      [ORIGIN, JSON.stringify(entry), at],
    );
    try {
      expect(await keepTrustedTime(worker, ORIGIN)).toEqual({
        at: '2026-03-01T00:00:00.123456Z',
        source: 'consensus of hedera-contract/v1',
      });
    } finally {
      await owner.query('DELETE FROM contract_anchors');
    }
  });

  it('refuses while the clock stands behind a time that an authority stated, says why, and goes on by itself', async () => {
    await licensing.temporal.run(licensing.activities(), async () => {
      await grant('2026-02-01T00:00:00Z', MONTHLY);
      await seedQueuedProofs(licensing.owner, 1, tenant);
      await coverLeaves(licensing.owner, { origin: ORIGIN, at: '2026-03-01T00:00:00.000000Z' });
      const { refused } = await renewAt('2026-02-28T00:00:00Z');
      expect(refused).toBe(
        'the clock says 2026-02-28T00:00:00.000000Z, but the timestamp of tsa says 2026-03-01T00:00:00.000000Z',
      );
      expect(await renewAt('2026-03-05T00:00:00Z', '2026-03-01T00:00:00Z')).toMatchObject({
        refused: 'the clock says 2026-03-01T00:00:00.000000Z, but renewal is asked for 2026-03-05T00:00:00Z',
      });
      const { rows } = await licensing.owner.query('SELECT refusal IS NOT NULL AS refused FROM licence_clock');
      expect(rows).toEqual([{ refused: true }]);
      expect(await renewAt('2026-03-01T01:00:00Z')).toMatchObject({ opened: 1, served: 1 });
      const { rows: audit } = await licensing.owner.query("SELECT action FROM audit WHERE action LIKE '%refused'");
      expect(audit).toEqual([{ action: 'licence.renewal_refused' }]);
    });
  });
});

describe('the schedule', () => {
  it('is applied once, keeps its pause, and tells its runs the time it meant, triggered and backfilled', async () => {
    const { address, namespace } = temporalForTest();
    const id = `renew-${randomUUID()}`;
    const declared = readSchedules()
      .filter((schedule) => schedule.id === 'renewLicensePeriods')
      .map((schedule) => ({ ...schedule, id }));
    const handle = licensing.temporal.client.schedule.getHandle(id);
    await licensing.temporal.run(licensing.activities(), async () => {
      expect(await applySchedules(address, namespace, licensing.temporal.workflowQueue, declared)).toEqual([id]);
      await handle.pause('a test');
      expect(await applySchedules(address, namespace, licensing.temporal.workflowQueue, declared)).toEqual([]);
      expect((await handle.describe()).state).toMatchObject({ paused: true, note: 'a test' });
      nowMs = Date.now();
      await handle.trigger();
      const triggered = await runOf(0);
      expect(Math.abs(Date.parse(triggered.result.at) - nowMs)).toBeLessThan(60_000);
      await keepHistory('renewLicensePeriods', 'triggered', triggered.history);
      await handle.backfill({
        start: new Date('2026-02-28T00:30:00Z'),
        end: new Date('2026-02-28T01:30:00Z'),
        overlap: 'BUFFER_ALL',
      });
      expect((await runOf(1)).result.at).toBe('2026-02-28T01:00:00.000000Z');
      await handle.delete();
    });

    /** Waits for the n-th run of the schedule and its end. */
    async function runOf(n: number) {
      for (let tries = 0; tries < 150; tries++) {
        const run = (await handle.describe()).info.recentActions[n]?.action;
        if (run?.type === 'startWorkflow') {
          const workflow = licensing.temporal.client.workflow.getHandle(run.workflow.workflowId);
          const result = (await workflow.result()) as RenewLicensePeriodsResult;
          return { result, history: await workflow.fetchHistory() };
        }
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      throw new Error(`the schedule has no run ${n}`);
    }
  });
});
