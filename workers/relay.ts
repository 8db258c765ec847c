import { setTimeout as pause } from 'node:timers/promises';
import { Gauge } from 'prom-client';
import { toMicros } from '../domain/clock.ts';
import { countAlarms } from '../store/alarms.ts';
import { applyPending } from '../store/commands.ts';
import { expandFilters } from '../store/expand-commands.ts';
import { formBatch } from '../store/form-batch.ts';
import { listen } from '../store/listen.ts';
import { readOutboxLag } from '../store/outbox.ts';
import { startDueLevels } from '../store/start-due-levels.ts';
import { countToWake, wakeDue } from '../store/wake-batches.ts';
import { deliverDue, type OutboxDelivery } from './deliver-due.ts';
import { createForming, HOLD_MS, LEAD_MS } from './form-batches.ts';
import { startLoop } from './loop.ts';
import { measureIntegrity } from './measure-integrity.ts';
import { createReconciliation } from './reconcile.ts';

/** Slow polls behind the notifications. */
const POLL_MS = 1_000;
/** Until the next of many are woken or started: those before are through, or their places are still taken. */
const PORTION_MS = 100;
const INTEGRITY_MS = 60_000;
const PARTITION_MS = 3_600_000;
const ALARMS_MS = 5_000;

const lagRows = new Gauge({ name: 'proofline_outbox_rows', help: 'Motion that Temporal has not got yet.' });
const lagSeconds = new Gauge({
  name: 'proofline_outbox_oldest_seconds',
  help: 'Age of the oldest undelivered motion.',
});

const unwoken = new Gauge({
  name: 'proofline_batches_to_wake',
  help: 'Batches that wait for their turn to be certified.',
});

const alarms = new Gauge({
  name: 'proofline_alarms',
  help: 'Open alarms: a person must look.',
  labelNames: ['kind'],
});

export interface RelayDeps extends OutboxDelivery {
  readonly newId: () => string;
  readonly origin: string;
  readonly maxUnsealedBatches: number;
  readonly reconcileMs: number;
  /** Younger than this, motion may still be on its way. */
  readonly reconcileGraceMs: number;
}

/**
 * The bridge from Postgres to Temporal, and with the reconciler its only user: forms batches, delivers the outbox,
 * applies support verbs, starts what PDFs are due, wakes batches in portions and those whose deadline passed, rebuilds motion that is gone. Several may run; locks share the work.
 */
export function startRelay(deps: RelayDeps): { stop(): Promise<void> } {
  const { db, clock, logger } = deps;
  const failed = (loop: string) => (error: unknown) =>
    logger.warn({ loop, err: error }, 'a loop of the relay failed; it goes on');

  let slotTimer: NodeJS.Timeout | undefined;
  const formSlot = createForming({
    form: (joinable) => {
      const nowMs = clock.nowMs();
      const joinableUntil = microsOf(nowMs + HOLD_MS);
      return formBatch(db, {
        newId: deps.newId,
        now: clock.nowMicros(),
        maxUnsealed: deps.maxUnsealedBatches,
        notJoinableAt: microsOf(nowMs + LEAD_MS),
        joinableUntil: Object.fromEntries([...joinable].map((lane) => [lane, joinableUntil])),
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
    wakes: startLoop({
      everyMs: POLL_MS,
      onError: failed('wakes'),
      turn: async () => {
        const { woken, left } = await wakeDue(db, { origin: deps.origin, now: clock.nowMicros() });
        // Behind those that were woken there may be more than were looked at.
        const maybeMore = woken + left > 0;
        if (maybeMore) await pause(PORTION_MS);
        return maybeMore;
      },
    }),
    pdfs: startLoop({
      everyMs: POLL_MS,
      onError: failed('pdfs'),
      turn: async () => {
        const isLeft = await startDueLevels(db, clock.nowMicros());
        if (isLeft) await pause(PORTION_MS);
        return isLeft;
      },
    }),
    lag: startLoop({ everyMs: POLL_MS, onError: failed('lag'), turn: () => measureLag(deps) }),
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
    reconcile: startLoop({ everyMs: deps.reconcileMs, onError: failed('reconcile'), turn: createReconciliation(deps) }),
  };
  const listening = listen(
    db,
    ['proofline_intake', 'proofline_outbox', 'proofline_commands', 'proofline_pdf', 'proofline_wakes'],
    (channel) => {
      if (channel === 'proofline_commands') loops.commands.wake();
      if (channel === 'proofline_intake') loops.form.wake();
      if (channel === 'proofline_pdf') loops.pdfs.wake();
      if (channel === 'proofline_wakes') loops.wakes.wake();
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

function microsOf(ms: number): string {
  return toMicros(BigInt(ms) * 1000n);
}

async function measureLag({ db, clock, origin }: RelayDeps): Promise<void> {
  const lag = await readOutboxLag(db);
  unwoken.set(await countToWake(db, { origin, now: clock.nowMicros() }));
  lagRows.set(Number(lag.rows));
  lagSeconds.set(lag.oldestSeconds);
}
