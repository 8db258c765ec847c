/** Licence workflows on real servers: their activities over a database and issuer of the file's own. */
import { afterAll, beforeAll } from '@jest/globals';
import { createLicensing } from '../../activities/licences/import-grant.ts';
import type { Clock } from '../../domain/clock.ts';
import { takeDueMotion } from '../../store/outbox.ts';
import type { Db } from '../../store/pool.ts';
import { createTestDatabase, type TestDatabase } from './database.ts';
import { createTestIssuer, TEST_INSTANCE, type TestIssuer } from './grants.ts';
import { createWorkflowTest, type StandIns, type WorkflowTest } from './workflow-run.ts';

export interface Licensing {
  readonly temporal: WorkflowTest;
  readonly test: TestDatabase;
  readonly owner: Db;
  readonly worker: Db;
  readonly api: Db;
  readonly issuer: TestIssuer;
  activities(): StandIns;
  /** Starts what the outbox owes for the request that names `id`, under an id with this suffix; resolves at its end. */
  carryOut(id: string, suffix?: string): Promise<Awaited<ReturnType<WorkflowTest['client']['workflow']['start']>>>;
}

/** Registers the hooks; what it returns is filled in before the first test. */
export function useLicensing({ clock, origin }: { readonly clock: Clock; readonly origin: string }): Licensing {
  const licensing = {} as { -readonly [K in keyof Licensing]: Licensing[K] };
  beforeAll(async () => {
    const [temporal, test, issuer] = await Promise.all([
      createWorkflowTest(),
      createTestDatabase(),
      createTestIssuer(),
    ]);
    const [owner, worker, api] = [
      test.pool('proofline_owner'),
      test.pool('proofline_worker'),
      test.pool('proofline_api'),
    ];
    Object.assign(licensing, {
      temporal,
      test,
      owner,
      worker,
      api,
      issuer,
      activities: () =>
        createLicensing({
          db: worker,
          clock,
          issuers: issuer.jwks,
          instance: TEST_INSTANCE,
          origin,
          publicUrl: 'https://p.example',
          heartbeat: () => {},
        }),
      async carryOut(id: string, suffix = '') {
        const due = await takeDueMotion(owner, 10, clock.nowMicros());
        const start = due.find((motion) => JSON.stringify(motion.payload).includes(id));
        if (start === undefined) throw new Error('no start is due');
        const handle = await temporal.client.workflow.start(start.name, {
          workflowId: `${start.workflowId}${suffix}`,
          taskQueue: temporal.workflowQueue,
          args: [start.payload],
        });
        await handle.result();
        return handle;
      },
    } satisfies Licensing);
  });
  afterAll(async () => {
    await licensing.temporal.close();
    await licensing.test.drop();
  });
  return licensing;
}
