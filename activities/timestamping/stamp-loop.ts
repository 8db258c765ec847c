/**
 * The loop that keeps the log timestamped, free of Temporal. Per timestamp window, while a leaf waits, it takes the newest
 * published checkpoint, stamps SHA-256 of its body, stores the token and has the evidence advanced. A checkpoint that
 * completes a prompt batch waits for no other token's window than that of the last which did: so whoever sends one proof
 * is not held up by the tokens that a flood takes. It keeps no state that matters: what Postgres shows is
 * where it goes on.
 */
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { parseNote } from '../../log/note.ts';
import { asStoreError, type Db, inTransaction } from '../../store/pool.ts';
import { readUnstampedCheckpoint, storeToken } from '../../store/timestamps.ts';
import { createWake } from '../../store/wake.ts';
import { recordStatements } from './record-statements.ts';
import type { TsaPool } from './tsa-pool.ts';

export interface TimestampingDeps {
  readonly db: Db;
  readonly pool: TsaPool;
  readonly clock: Clock;
  /** Least time between two requests for tokens, and between two that complete a prompt batch; so at most two a window. Default 1,000. */
  readonly windowMs?: number;
  /** How often the store is asked for work that rang for nobody; default 250. */
  readonly pollMs?: number;
  /**
   * Moves a chunk of what the stored tokens cover; true while more is left. Idempotent; called at the start, after each
   * token, and again if it failed.
   */
  readonly advanceEvidence: (input: { readonly origin: string }) => Promise<boolean>;
}

export interface StampLogInput {
  readonly origin: string;
}

/** What an operator reads as heartbeat details. */
export interface StampLogState {
  readonly state: 'idle' | 'stamping' | 'storing' | 'advancing' | 'recording' | 'waiting';
  /** Size of the last checkpoint this run stamped, decimal. */
  readonly stampedSize?: string;
  readonly tsa?: string;
  /** Time of that token. */
  readonly genTime?: string;
  /** While `waiting`: why, for how many attempts, and when the next is due. */
  readonly failure?: {
    readonly code: string;
    readonly detail: string;
    readonly attempts: number;
    readonly nextAt: string;
  };
}

export interface LoopControl {
  /** Called at every change and at least once a second. */
  readonly heartbeat: (state: StampLogState) => void;
  readonly signal: AbortSignal;
  /** The loop returns after this; default 6 hours. */
  readonly maxRunMs?: number;
}

const HEARTBEAT_MS = 1_000;
const FIRST_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 5_000;
const MAX_DETAIL = 600;

/**
 * Runs until `signal` or `maxRunMs`. Outages (retryable codes) never end it: it waits and tries again with the checkpoint
 * that is newest then, so one token covers all that waited. Anything else is thrown.
 */
export async function runStampLoop(
  deps: TimestampingDeps,
  { origin }: StampLogInput,
  control: LoopControl,
): Promise<void> {
  const { clock } = deps;
  const { windowMs = 1_000, pollMs = 250 } = deps;
  const endsAt = clock.nowMs() + (control.maxRunMs ?? 6 * 3_600_000);
  let state: StampLogState = { state: 'idle' };
  const wake = createWake(deps.db, 'proofline_stampable');
  let stampedAt = Number.NEGATIVE_INFINITY;
  let completedAt = Number.NEGATIVE_INFINITY;
  // After a crash a token may be stored whose evidence was not advanced.
  let mustAdvance = true;
  let mustRecord = true;
  let attempts = 0;

  const show = (next: StampLogState): void => {
    state = next;
    control.heartbeat(state);
  };
  const beat = setInterval(() => control.heartbeat(state), HEARTBEAT_MS);
  // A clock set back lengthens a window by one window at most.
  const restOf = (began: number): number => Math.min(began + windowMs - clock.nowMs(), windowMs);

  async function step(): Promise<number> {
    const { failure: _, ...last } = state;
    if (mustAdvance) {
      show({ ...last, state: 'advancing' });
      while (await deps.advanceEvidence({ origin })) if (control.signal.aborted) return 0;
      mustAdvance = false;
    }
    if (mustRecord) {
      show({ ...last, state: 'recording' });
      while (await recordStatements(deps, origin, control.signal)) if (control.signal.aborted) return 0;
      mustRecord = false;
    }
    const restMs = restOf(stampedAt);
    const completingRestMs = restOf(completedAt);
    if (restMs > 0 && completingRestMs > 0) return Math.min(restMs, completingRestMs);
    const checkpoint = await readUnstampedCheckpoint(deps.db, origin);
    if (checkpoint === undefined) {
      if (state.state !== 'idle') show({ ...last, state: 'idle' });
      return pollMs;
    }
    if (restMs > 0 && !checkpoint.completesPrompt) return Math.min(restMs, pollMs);
    stampedAt = clock.nowMs();
    if (checkpoint.completesPrompt) completedAt = stampedAt;
    show({ ...last, state: 'stamping' });
    const imprint = createHash('sha256').update(parseNote(checkpoint.note).text, 'utf8').digest();
    // A crash here loses a token that nobody saw; the next run asks for another.
    const stamped = await deps.pool.stamp(new Uint8Array(imprint), control.signal);
    show({ ...last, state: 'storing' });
    const { revocation: _verdict, ...token } = stamped;
    await inTransaction(deps.db, (tx) =>
      storeToken(tx, { ...token, origin, size: checkpoint.size, acceptedAt: clock.nowMicros() }),
    );
    mustAdvance = true;
    mustRecord = true;
    show({ state: 'storing', stampedSize: String(checkpoint.size), tsa: stamped.tsa, genTime: stamped.genTime });
    return 0;
  }

  try {
    while (!control.signal.aborted && clock.nowMs() < endsAt) {
      try {
        const pauseMs = await step();
        attempts = 0;
        if (pauseMs > 0) await wake.wait(pauseMs, control.signal);
      } catch (caught) {
        if (control.signal.aborted) return;
        const error = asStoreError(caught);
        if (!(error instanceof ProoflineError) || !error.entry.retryable) throw error;
        const pauseMs = Math.min(FIRST_BACKOFF_MS * 2 ** attempts++, MAX_BACKOFF_MS);
        const nextAt = new Date(clock.nowMs() + pauseMs).toISOString();
        const failure = { code: error.code, detail: error.detail.slice(0, MAX_DETAIL), attempts, nextAt };
        show({ ...state, state: 'waiting', failure });
        await delay(pauseMs, undefined, { signal: control.signal }).catch(() => undefined);
      }
    }
  } finally {
    clearInterval(beat);
    await wake.close();
  }
}
