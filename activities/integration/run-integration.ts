/**
 * The integrator's loop: queued leaves into the tree, the committed head to the signer, its note to the world, and
 * anchor windows closed when they are due. One checkpoint per interval while there is work.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Clock } from '../../domain/clock.ts';
import { toMicros } from '../../domain/clock.ts';
import { ERRORS, ProoflineError } from '../../domain/errors.ts';
import { type AnchorWindows, closeAnchorWindow } from '../../store/anchor-windows.ts';
import { closeContractWindow } from '../../store/contract-anchors.ts';
import {
  ensureLog,
  integrateLeaves,
  type LogHead,
  pruneCheckpoints,
  readLogWork,
  storeCheckpointNote,
} from '../../store/log.ts';
import { asStoreError, type Db, inTransaction } from '../../store/pool.ts';
import { createWake, type Wake } from '../../store/wake.ts';
import { endLogAlarms, raiseLogAlarm } from './log-alarms.ts';
import { type RollbackDeps, requireNoRollback } from './require-no-rollback.ts';
import { type LogSigner, requireConsistentHead, signHead } from './sign-head.ts';

/** What a logger must offer; pino's does. */
export interface IntegrationLogger {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
}

export interface IntegrationDeps {
  readonly db: Db;
  readonly signer: LogSigner;
  /** The largest tree of this log on the ledger; absent without a ledger. */
  readonly newestAnchor?: RollbackDeps['newestAnchor'];
  /** The log's name in checkpoints and of its key. */
  readonly origin: string;
  readonly clock: Clock;
  readonly logger: IntegrationLogger;
  /** Least time between two checkpoints; 75 ms unless told. Longer, up to `BUSY_INTERVAL_MS`, where they are dear. */
  readonly checkpointIntervalMs?: number;
  /** `none`: no topic is written to, so no window is closed. */
  readonly anchorWindows?: AnchorWindows | 'none';
  /** Checkpoints are anchored in the registry contract too, or there alone: then proofs rest on it. */
  readonly contractAnchors?: { readonly windowMs: number; readonly carriesProofs: boolean };
  /** Leaves taken at once. */
  readonly limit?: number;
  /** Another wake than LISTEN on the pool. */
  readonly wake?: Wake;
}

export interface IntegrationControl {
  /** Ends the loop after the step under way; a call to the signer is given up. */
  readonly signal: AbortSignal;
  /** Called at least once a second. */
  readonly heartbeat: (details: { readonly size: string; readonly failing?: string }) => void;
  /** Ends the loop by itself after this long. */
  readonly runForMs?: number;
}

export interface IntegrationReport {
  /** Decimal: the size of the head at the end. */
  readonly size: string;
  readonly leaves: number;
  readonly checkpoints: number;
}

const HEARTBEAT_MS = 1_000;
const KEEP_CHECKPOINTS_MS = 24 * 3_600_000;
const PRUNE_EVERY_MS = 600_000;
/** An idle log is looked at so often behind its wake. */
const IDLE_POLL_MS = 200;
/** Under load each checkpoint costs a transaction and a signature whatever it holds: a step takes half of the time at most … */
const STEP_SHARE = 2;
/** … and beyond this its receipts would wait for nothing but thrift. */
const BUSY_INTERVAL_MS = 200;
/** Transient failures in a row that are waited out here; the next is thrown, so that it is seen in Temporal. */
const PATIENCE = 6;
const MAX_BACKOFF_MS = 2_000;

/**
 * Runs until aborted or `runForMs` is over. Key (origin): any number may run, the row lock on the head lets one at a
 * time step. Throws LOG_ROLLBACK, LOG_CORRUPT, and what is transient (STORE_*, SIGNER_*) once it lasts.
 */
export async function runIntegration(deps: IntegrationDeps, control: IntegrationControl): Promise<IntegrationReport> {
  const { clock, origin, checkpointIntervalMs = 75 } = deps;
  const { signal } = control;
  const endMs = clock.nowMs() + (control.runForMs ?? Number.POSITIVE_INFINITY);
  const wake = deps.wake ?? createWake(deps.db, 'proofline_leaf');
  const sealed = createWake(deps.db, 'proofline_sealed');
  const seen = { size: 0n, leaves: 0, checkpoints: 0, failing: undefined as string | undefined };
  const beat = (): void =>
    control.heartbeat({ size: seen.size.toString(), ...(seen.failing === undefined ? {} : { failing: seen.failing }) });
  const beating = setInterval(beat, HEARTBEAT_MS);
  let failures = 0;
  let isChecked = false;
  let isGoing = false;
  let nextContractLookMs = 0;
  let pruneAtMs = clock.nowMs() + PRUNE_EVERY_MS;
  try {
    while (!signal.aborted && clock.nowMs() < endMs) {
      const startedMs = performance.now();
      let isIdle = false;
      try {
        if (!isChecked) {
          await inTransaction(deps.db, (tx) => ensureLog(tx, origin, clock.nowMicros()));
          await requireNoRollback(deps);
          isChecked = true;
          beat();
        }
        const step = await integrateOnce(deps, signal, failures);
        if (!isGoing) await endLogAlarms(deps);
        isGoing = true;
        isIdle = step.leaves === 0 && !step.isPublished;
        seen.size = step.size;
        seen.leaves += step.leaves;
        seen.checkpoints += step.isPublished ? 1 : 0;
        await closeDueWindow(deps);
        nextContractLookMs = await closeDueContractWindow(deps, nextContractLookMs);
        if (clock.nowMs() >= pruneAtMs) {
          pruneAtMs = clock.nowMs() + PRUNE_EVERY_MS;
          await pruneCheckpoints(deps.db, {
            origin,
            before: toMicros(BigInt(clock.nowMs() - KEEP_CHECKPOINTS_MS) * 1000n),
          });
        }
        failures = 0;
        seen.failing = undefined;
      } catch (error) {
        if (signal.aborted) break;
        seen.failing = transientCode(error);
        if (seen.failing === undefined || ++failures > PATIENCE) {
          await raiseLogAlarm(deps, error);
          throw error;
        }
        deps.logger.warn({ err: error, failures }, 'integration step failed; it is repeated');
        beat();
        await sleep(Math.min(MAX_BACKOFF_MS, 50 * 2 ** failures), signal);
        continue;
      }
      if (isIdle) await wake.wait(Math.max(checkpointIntervalMs, IDLE_POLL_MS), signal);
      else {
        const tookMs = performance.now() - startedMs;
        await sleep(checkpointIntervalMs - tookMs, signal);
        await sealed.wait(thriftAfter(tookMs, checkpointIntervalMs), signal);
      }
    }
  } finally {
    clearInterval(beating);
    if (deps.wake === undefined) await wake.close();
    await sealed.close();
  }
  return { size: seen.size.toString(), leaves: seen.leaves, checkpoints: seen.checkpoints };
}

/** The rest beyond the least interval. Whoever completes a batch need not wait for it. */
function thriftAfter(tookMs: number, checkpointIntervalMs: number): number {
  return Math.min(STEP_SHARE * tookMs, BUSY_INTERVAL_MS) - Math.max(checkpointIntervalMs, tookMs);
}

/**
 * One step: takes leaves if the head is signed, then signs and publishes an unsigned head. After a crash between the
 * two, the next step of any integrator signs the head that was committed. `attempt`: steps that failed just before.
 */
export async function integrateOnce(
  deps: IntegrationDeps,
  signal: AbortSignal,
  attempt = 0,
): Promise<{ readonly size: bigint; readonly leaves: number; readonly isPublished: boolean }> {
  const { db, origin, clock } = deps;
  const work = await readLogWork(db, origin);
  if (work !== undefined && work.head.note !== null && !work.isQueued)
    return { size: work.head.size, leaves: 0, isPublished: false };
  const { head, leaves } = await inTransaction(db, (tx) =>
    integrateLeaves(tx, { origin, now: clock.nowMicros(), ...(deps.limit === undefined ? {} : { limit: deps.limit }) }),
  );
  const isPublished = head.note === null && (await publishHead(deps, head, attempt, signal));
  return { size: head.size, leaves, isPublished };
}

async function publishHead(
  { db, signer, clock }: IntegrationDeps,
  head: LogHead,
  attempt: number,
  signal: AbortSignal,
): Promise<boolean> {
  let note: string;
  try {
    await requireConsistentHead(db, head);
    note = await signHead(signer, head, attempt, signal);
  } catch (error) {
    // Whoever was held up between its commit and here finds that another signed this head and went on: no rollback.
    if (await isPast(db, head)) return false;
    throw error;
  }
  return (
    (await storeCheckpointNote(db, {
      origin: head.origin,
      size: head.size,
      root: head.root,
      note,
      now: clock.nowMicros(),
    })) === 'published'
  );
}

/** Whether the stored head is signed or larger: it can be neither before somebody had this one signed. */
async function isPast(db: Db, head: LogHead): Promise<boolean> {
  const stored = (await readLogWork(db, head.origin))?.head;
  return stored !== undefined && (stored.size > head.size || (stored.size === head.size && stored.note !== null));
}

async function closeDueWindow({ db, origin, clock, anchorWindows, logger }: IntegrationDeps): Promise<void> {
  if (anchorWindows === 'none') return;
  const closed = await inTransaction(db, (tx) =>
    closeAnchorWindow(tx, {
      origin,
      now: clock.nowMicros(),
      ...(anchorWindows === undefined ? {} : { windows: anchorWindows }),
    }),
  );
  if (closed !== undefined)
    logger.info({ window: closed.window, size: closed.size.toString() }, 'anchor window closed');
}

/** Looked for ten times a window, and at least once a minute. Returns when to look again. */
async function closeDueContractWindow(
  { db, origin, clock, contractAnchors, logger }: IntegrationDeps,
  nextLookMs: number,
): Promise<number> {
  const nowMs = clock.nowMs();
  if (contractAnchors === undefined || nowMs < nextLookMs) return nextLookMs;
  const size = await inTransaction(db, (tx) =>
    closeContractWindow(tx, { origin, now: clock.nowMicros(), ...contractAnchors }),
  );
  if (size !== undefined) logger.info({ size: size.toString() }, 'contract window closed');
  return nowMs + Math.min(contractAnchors.windowMs / 10, 60_000);
}

const TRANSIENT_SQLSTATES = new Set(['40001', '40P01', '55P03', '57014']);

/** The code by which a failure may pass by itself: a retryable code of the catalogue, a lost race of Postgres. */
function transientCode(thrown: unknown): string | undefined {
  const error = asStoreError(thrown);
  if (error instanceof ProoflineError) return ERRORS[error.code].retryable ? error.code : undefined;
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'string' && TRANSIENT_SQLSTATES.has(code) ? code : undefined;
}

async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await pause(ms, undefined, { signal }).catch(() => undefined);
}
