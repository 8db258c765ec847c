import type { Logger } from 'pino';
import { Gauge } from 'prom-client';
import type { Clock } from '../domain/clock.ts';
import { toMicros } from '../domain/clock.ts';
import { countAlarms } from '../store/alarms.ts';
import { formBatch } from '../store/batches.ts';
import { startDueLevels } from '../store/certificate-pdfs.ts';
import { applyPending } from '../store/commands.ts';
import { wakeOverdue } from '../store/evidence.ts';
import { expandFilters } from '../store/expand-commands.ts';
import { listen } from '../store/listen.ts';
import { type DueMotion, deleteMotion, postponeMotion, readOutboxLag, takeDueMotion } from '../store/outbox.ts';
import { type Db, inTransaction } from '../store/pool.ts';
import { deliverMotion, type MotionDelivery } from './deliver-motion.ts';
import { createForming, HOLD_MS, LEAD_MS } from './form-batches.ts';
import { startLoop } from './loop.ts';
import { measureIntegrity } from './measure-integrity.ts';
import { reconcile } from './reconcile.ts';

/** Motion taken in one transaction, and calls to Temporal under way at once. */
const TAKE = 200;
/** Slow polls behind the notifications. */
const POLL_MS = 1_000;
const INTEGRITY_MS = 60_000;
const PARTITION_MS = 3_600_000;
const ALARMS_MS = 5_000;
const MAX_POSTPONE_MS = 30_000;

const lagRows = new Gauge({ name: 'proofline_outbox_rows', help: 'Motion that Temporal has not got yet.' });
const lagSeconds = new Gauge({
  name: 'proofline_outbox_oldest_seconds',
  help: 'Age of the oldest undelivered motion.',
});

const alarms = new Gauge({
  name: 'proofline_alarms',
  help: 'Open alarms: a person must look.',
  labelNames: ['kind'],
});

export interface RelayDeps extends MotionDelivery {
  readonly db: Db;
  readonly clock: Clock;
  readonly newId: () => string;
  readonly logger: Logger;
  readonly origin: string;
  readonly maxUnsealedBatches: number;
  readonly reconcileMs: number;
  /** Younger than this, motion may still be on its way. */
  readonly reconcileGraceMs: number;
}

/**
 * The bridge from Postgres to Temporal, and with the reconciler its only user: forms batches, delivers the outbox,
 * applies support verbs, starts what PDFs are due, wakes batches whose deadline passed, rebuilds motion that is gone. Several may run; locks share the work.
 */
export function startRelay(deps: RelayDeps): { stop(): Promise<void> } {
  const { db, clock, logger } = deps;
  const failed = (loop: string) => (error: unknown) =>
    logger.warn({ loop, err: error }, 'a loop of the relay failed; it goes on');

  let slotTimer: NodeJS.Timeout | undefined;
  const formSlot = createForming({
    form: (isJoinable) => {
      const nowMs = clock.nowMs();
      return formBatch(db, {
        newId: deps.newId,
        now: clock.nowMicros(),
        maxUnsealed: deps.maxUnsealedBatches,
        notJoinableAt: microsOf(nowMs + LEAD_MS),
        joinableUntil: isJoinable ? microsOf(nowMs + HOLD_MS) : undefined,
      });
    },
    elapsedMs: () => performance.now(),
  });

  const loops = {
    form: startLoop({
      everyMs: POLL_MS,
      onError: failed('form'),
      turn: async () => {
        const restMs = await formSlot();
        if (restMs > 0 && slotTimer === undefined)
          slotTimer = setTimeout(() => {
            slotTimer = undefined;
            loops.form.wake();
          }, restMs);
      },
    }),
    deliver: startLoop({ everyMs: POLL_MS, onError: failed('deliver'), turn: () => deliverDue(deps) }),
    commands: startLoop({
      everyMs: POLL_MS,
      onError: failed('commands'),
      // Filters go a step at a time, behind what waits already, so that a command for one proof never waits for all of them.
      turn: async () =>
        (await applyPending(db, { origin: deps.origin, now: clock.nowMicros() })) > 0 || (await expandFilters(db)),
    }),
    overdue: startLoop({
      everyMs: POLL_MS,
      onError: failed('overdue'),
      turn: async () => void (await wakeOverdue(db, { origin: deps.origin, now: clock.nowMicros() })),
    }),
    pdfs: startLoop({
      everyMs: POLL_MS,
      onError: failed('pdfs'),
      turn: () => startDueLevels(db, clock.nowMicros(), TAKE),
    }),
    lag: startLoop({ everyMs: POLL_MS, onError: failed('lag'), turn: () => measureLag(db) }),
    integrity: startLoop({
      everyMs: INTEGRITY_MS,
      onError: failed('integrity'),
      turn: () => measureIntegrity(db).then(() => false),
    }),
    alarms: startLoop({
      everyMs: ALARMS_MS,
      onError: failed('alarms'),
      turn: async () => {
        for (const [kind, n] of Object.entries(await countAlarms(db))) alarms.set({ kind }, n);
      },
    }),
    partitions: startLoop({
      everyMs: PARTITION_MS,
      onError: failed('partitions'),
      turn: async () =>
        void (await db.query('SELECT ensure_event_partitions($1::date, 14)', [clock.nowMicros().slice(0, 10)])),
    }),
    reconcile: startLoop({ everyMs: deps.reconcileMs, onError: failed('reconcile'), turn: () => reconcile(deps) }),
  };
  const listening = listen(
    db,
    ['proofline_intake', 'proofline_outbox', 'proofline_commands', 'proofline_pdf'],
    (channel) => {
      if (channel === 'proofline_commands') loops.commands.wake();
      if (channel === 'proofline_intake') loops.form.wake();
      if (channel === 'proofline_pdf') loops.pdfs.wake();
      if (channel === 'proofline_outbox') loops.deliver.wake();
    },
  );
  return {
    async stop() {
      clearTimeout(slotTimer);
      await listening.stop();
      await Promise.all(Object.values(loops).map((loop) => loop.stop()));
    },
  };
}

/** Delivers one group; true when there may be more. After a crash here the group is delivered again. */
async function deliverDue(deps: RelayDeps): Promise<boolean> {
  return inTransaction(deps.db, async (tx) => {
    const due = await takeDueMotion(tx, TAKE, deps.clock.nowMicros());
    if (due.length === 0) return false;
    const outcomes = await deliverInOrder(deps, due);
    await deleteMotion(
      tx,
      outcomes.filter((o) => o.delivered).map((o) => o.motion.id),
    );
    const late = outcomes.filter((o) => !o.delivered).map((o) => o.motion);
    if (late.length > 0) {
      const attempts = Math.max(...late.map((m) => m.attempts));
      const waitMs = Math.min(MAX_POSTPONE_MS, 500 * 2 ** Math.min(attempts, 10));
      await postponeMotion(
        tx,
        late.map((m) => m.id),
        microsOf(deps.clock.nowMs() + waitMs),
      );
    }
    return due.length === TAKE && late.length === 0;
  });
}

/** Rows of one workflow one after the other (its start before its signals), workflows beside each other. */
async function deliverInOrder(
  deps: RelayDeps,
  due: readonly DueMotion[],
): Promise<readonly { motion: DueMotion; delivered: boolean }[]> {
  const byWorkflow = Map.groupBy(due, (motion) => motion.workflowId);
  const groups = await Promise.all(
    [...byWorkflow.values()].map(async (motions) => {
      const outcomes: { motion: DueMotion; delivered: boolean }[] = [];
      let stuck = false;
      for (const motion of motions) {
        if (!stuck) {
          await deliverMotion(deps, motion).catch((error) => {
            stuck = true;
            deps.logger.warn(
              { err: error, workflowId: motion.workflowId, attempts: motion.attempts },
              'Temporal did not take motion; it is tried again',
            );
          });
        }
        outcomes.push({ motion, delivered: !stuck });
      }
      return outcomes;
    }),
  );
  return groups.flat();
}

function microsOf(ms: number): string {
  return toMicros(BigInt(ms) * 1000n);
}

async function measureLag(db: Db): Promise<void> {
  const lag = await readOutboxLag(db);
  lagRows.set(Number(lag.rows));
  lagSeconds.set(lag.oldestSeconds);
}
