import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createIntegrityChecks } from '../../activities/integrity/check-integrity.ts';
import { systemClock } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { ensureLog } from '../../store/log.ts';
import { inTransaction } from '../../store/pool.ts';
import type { CheckOutcome } from '../../workflows/check-integrity.ts';
import { createTestDatabase } from '../support/database.ts';
import { keepHistory } from '../support/keep-history.ts';
import { createWorkflowTest, type StandIns, type WorkflowTest } from '../support/workflow-run.ts';

const AT = '2026-02-01T02:00:00.000000Z';
let temporal: WorkflowTest;
beforeAll(async () => {
  temporal = await createWorkflowTest();
});
afterAll(() => temporal.close());

/** Runs the checks to their end; returns what the workflow returned and what it recorded. */
async function runChecks(path: string | undefined, activities: StandIns, input: object = {}) {
  const recorded: CheckOutcome[] = [];
  const recordIntegrity = async (outcome: CheckOutcome): Promise<void> => void recorded.push(outcome);
  return temporal.run({ ...activities, recordIntegrity }, async () => {
    const handle = await temporal.client.workflow.start('checkIntegrity', {
      workflowId: `test-integrity:${randomUUID()}`,
      taskQueue: temporal.workflowQueue,
      args: [{ at: AT, ...input }],
    });
    const result = (await handle.result()) as { at: string; outcomes: readonly CheckOutcome[] };
    if (path !== undefined) await keepHistory('checkIntegrity', path, await handle.fetchHistory());
    const { searchAttributes } = await handle.describe();
    expect(recorded).toEqual(result.outcomes.map((outcome) => ({ ...outcome, at: result.at })));
    return { result, failureCode: (searchAttributes.FailureCode as readonly unknown[] | undefined)?.[0] };
  });
}

describe('checkIntegrity', () => {
  it('takes every check to its end, step by step, and records each', async () => {
    const asked: unknown[] = [];
    const { result, failureCode } = await runChecks('passed', {
      checkLicenceCounters: async () => ({ checked: 3, faults: [] }),
      checkLogTree: async (input: { readonly after?: string }) => {
        asked.push(input);
        return { checked: 10, faults: [], ...(input.after === undefined && { after: '10' }) };
      },
      checkTopic: async () => ({ checked: 4, faults: [] }),
    });
    expect(asked).toEqual([{ at: AT }, { at: AT, after: '10' }]);
    expect(result).toEqual({
      at: AT,
      outcomes: [
        { check: 'licence-counters', state: 'PASSED', checked: 3, faultCount: 0, faults: [] },
        { check: 'log-tree', state: 'PASSED', checked: 20, faultCount: 0, faults: [] },
        { check: 'topic', state: 'PASSED', checked: 4, faultCount: 0, faults: [] },
      ],
    });
    expect(failureCode).toBeUndefined();
  });

  it('shows what failed, keeps the first faults of many, and still runs the others', async () => {
    const { result, failureCode } = await runChecks('failed', {
      checkLicenceCounters: async () => ({ checked: 50, faults: Array.from({ length: 50 }, (_, i) => `fault ${i}`) }),
      checkLogTree: async () => {
        throw new ProoflineError('LOG_CORRUPT', 'a leaf too few');
      },
      checkTopic: async () => ({ checked: 2, faults: ['topic.gap: message 7'] }),
    });
    expect(result.outcomes).toEqual([
      {
        check: 'licence-counters',
        state: 'FAILED',
        checked: 50,
        faultCount: 50,
        faults: Array.from({ length: 20 }, (_, i) => `fault ${i}`),
      },
      { check: 'log-tree', state: 'UNFINISHED', checked: 0, faultCount: 0, faults: [], code: 'LOG_CORRUPT' },
      { check: 'topic', state: 'FAILED', checked: 2, faultCount: 1, faults: ['topic.gap: message 7'] },
    ]);
    expect(failureCode).toBe('INTEGRITY_FAULT');
  });

  it('gives a check up after its time, so that the others get their turn', async () => {
    const { result } = await runChecks(
      undefined,
      {
        // It never comes to an end.
        checkLicenceCounters: async () => ({ checked: 1, faults: [], after: 'here' }),
        checkLogTree: async () => ({ checked: 1, faults: [] }),
        checkTopic: async () => ({ checked: 1, faults: [] }),
      },
      { limitMs: 300 },
    );
    expect(result.outcomes.map(({ check, state, code }) => [check, state, code])).toEqual([
      ['licence-counters', 'UNFINISHED', 'TIMEOUT'],
      ['log-tree', 'PASSED', undefined],
      ['topic', 'PASSED', undefined],
    ]);
  });

  it('holds a database against itself, keeps each outcome and audits what failed', async () => {
    const database = await createTestDatabase();
    const [db, owner] = [database.pool('proofline_worker'), database.pool('proofline_owner')];
    const clock = systemClock();
    await inTransaction(db, (tx) => ensureLog(tx, 'log.example/checked', clock.nowMicros()));
    const activities = {
      ...createIntegrityChecks({ db, clock, origin: 'log.example/checked', heartbeat: () => {} }),
      // As where no topic is written to.
      checkTopic: async () => ({ checked: 0, faults: [] }),
    };
    const check = () =>
      temporal.run(activities, () =>
        temporal.client.workflow.execute('checkIntegrity', {
          workflowId: `test-integrity:${randomUUID()}`,
          taskQueue: temporal.workflowQueue,
          args: [{}],
        }),
      );
    await check();
    await owner.query("UPDATE log_head SET root = sha256('x')");
    await check();
    const { rows } = await owner.query(
      'SELECT check_name, state, fault_count FROM integrity_results ORDER BY at, check_name',
    );
    expect(rows.map((row) => [row.check_name, row.state, row.fault_count])).toEqual([
      ['licence-counters', 'PASSED', 0n],
      ['log-tree', 'PASSED', 0n],
      ['topic', 'PASSED', 0n],
      ['licence-counters', 'PASSED', 0n],
      ['log-tree', 'FAILED', 1n],
      ['topic', 'PASSED', 0n],
    ]);
    const { rows: audit } = await owner.query('SELECT action, subject FROM audit');
    expect(audit).toEqual([{ action: 'integrity.failed', subject: 'log-tree' }]);
    await database.drop();
  });
});
