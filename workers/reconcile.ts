import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { Logger } from 'pino';
import { Counter } from 'prom-client';
import type { Clock } from '../domain/clock.ts';
import { toMicros } from '../domain/clock.ts';
import { workflowIds } from '../domain/ids.ts';
import { type AnchorKey, readOpenAnchors } from '../store/anchors.ts';
import { type OpenLevel, readOpenLevels } from '../store/certificate-pdfs.ts';
import { readOpenContractAnchors } from '../store/contract-anchors.ts';
import { advanceEvidence } from '../store/evidence.ts';
import { readOpenRenewals } from '../store/evidence-renewals.ts';
import { readOpenImports } from '../store/licence-imports.ts';
import { readOpenOrgChanges } from '../store/org-changes.ts';
import type { Db } from '../store/pool.ts';
import { wakeStalled } from '../store/stalled-batches.ts';
import { createSchedules } from '../temporal-config/apply-schedules.ts';
import type { DeclaredSchedule } from '../temporal-config/schedules.ts';
import { createBatchReconciliation } from './reconcile-batches.ts';

const PAGE = 200;
/** Times of grace after which a batch that was woken and did not certify is woken again. */
const STALLED_GRACES = 4;
const DEADLINE_MS = 10_000;

const rebuilt = new Counter({
  name: 'proofline_motion_rebuilt_total',
  help: 'Workflows started again from Postgres.',
  labelNames: ['type'],
});

export interface ReconcileDeps {
  readonly client: Client;
  readonly workflowQueue: string;
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly origin: string;
  /** Younger than this, motion may still be on its way. */
  readonly reconcileGraceMs: number;
  /** Absent: those of temporal-config/schedules.yaml. */
  readonly schedules?: readonly DeclaredSchedule[];
}

/**
 * Each call compares what is open in Postgres with what runs in Temporal and starts again what is gone: the log, open batches
 * under their next generation, every open anchor, every level of a PDF that was begun, every import of a grant and change of
 * an org tree that has not come to its end, every renewal of evidence that was asked for; wakes batches whose wake was
 * lost; creates schedules that Temporal has lost; applies evidence that a lost run left unapplied. Repeating it does nothing.
 */
export function createReconciliation(deps: ReconcileDeps): () => Promise<void> {
  const { db, origin } = deps;
  const reconcileBatches = createBatchReconciliation({
    ...deps,
    onRestart: () => rebuilt.inc({ type: 'certifyBatch' }),
  });
  return async () => {
    await start(deps, 'runLog', workflowIds.runLog(origin), { origin });
    await reconcileBatches(olderThan(deps));
    await reconcileAnchors(deps);
    await reconcilePdfs(deps);
    await reconcileContractAnchors(deps);
    for (const { workflowId, importId } of await readOpenImports(db, olderThan(deps), PAGE))
      await start(deps, 'importLicense', workflowId, { importId });
    for (const id of await readOpenRenewals(db, olderThan(deps), PAGE))
      await start(deps, 'renewEvidence', workflowIds.renewEvidence(id), { request: id.toString() });
    for (const changeId of await readOpenOrgChanges(db, olderThan(deps), PAGE))
      await start(deps, 'changeOrganisation', workflowIds.changeOrganisation(changeId), { changeId });
    const now = deps.clock.nowMicros();
    // A run that died between what is covered and its application is not open any more.
    while (await advanceEvidence(db, { origin, now }));
    const woken = await wakeStalled(db, { before: olderThan(deps, STALLED_GRACES), now });
    if (woken > 0) deps.logger.warn({ woken }, 'batches did not move though their evidence is complete; woken again');
    await reconcileSchedules(deps);
  };
}

/** One that an operator paused or changed stays as it is. */
async function reconcileSchedules(deps: ReconcileDeps): Promise<void> {
  const made = await deps.client.withDeadline(Date.now() + DEADLINE_MS, () =>
    createSchedules(deps.client, deps.workflowQueue, deps.schedules),
  );
  if (made.length === 0) return;
  rebuilt.inc({ type: 'schedule' }, made.length);
  deps.logger.warn({ schedules: made }, 'schedules were gone; they are created again');
}

async function reconcileAnchors(deps: ReconcileDeps): Promise<void> {
  let after: AnchorKey | undefined;
  for (;;) {
    const page = await readOpenAnchors(deps.db, olderThan(deps), after, PAGE);
    for (const { origin, size } of page)
      await start(deps, 'anchorCheckpoint', workflowIds.anchorCheckpoint(origin, size), {
        origin,
        size: size.toString(),
      });
    after = page.at(-1);
    if (page.length < PAGE) return;
  }
}

async function reconcilePdfs(deps: ReconcileDeps): Promise<void> {
  let after: OpenLevel | undefined;
  for (;;) {
    const page = await readOpenLevels(deps.db, olderThan(deps), after, PAGE);
    for (const { proofId, level } of page)
      await start(deps, 'renderCertificate', workflowIds.renderCertificate(proofId, level), { proofId, level });
    after = page.at(-1);
    if (page.length < PAGE) return;
  }
}

/** At most one of a log is open at a time. */
async function reconcileContractAnchors(deps: ReconcileDeps): Promise<void> {
  for (const { origin, size } of await readOpenContractAnchors(deps.db, olderThan(deps), PAGE))
    await start(deps, 'anchorContract', workflowIds.anchorContract(origin, size), { origin, size: size.toString() });
}

/** Starts a workflow unless it runs; one that ended is started again under its id. */
async function start(deps: ReconcileDeps, type: string, workflowId: string, input: unknown): Promise<void> {
  try {
    await deps.client.withDeadline(Date.now() + DEADLINE_MS, () =>
      deps.client.workflow.start(type, {
        workflowId,
        taskQueue: deps.workflowQueue,
        args: [input],
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        staticSummary: workflowId,
      }),
    );
    rebuilt.inc({ type });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
}

function olderThan(deps: ReconcileDeps, graces = 1): string {
  return toMicros(BigInt(deps.clock.nowMs() - graces * deps.reconcileGraceMs) * 1000n);
}
