/** What every step of an anchor does around its own work: loads rows, keeps the gates, ends attempts, tells metrics. */
import { asyncLocalStorage } from '@temporalio/activity';
import type { Clock } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import {
  type AnchorKey,
  type AnchorRow,
  type AttemptKey,
  type AttemptRow,
  isFrozen,
  moveAttempt,
  readAnchor,
  readAttempt,
} from '../../store/anchors.ts';
import type { Db } from '../../store/pool.ts';
import type { AnchorLedger } from './anchor-ledger.ts';
import type { AnchorOutcome, AnchorStep, AttemptInput } from './anchor-step.ts';

export interface LedgerDeps {
  readonly db: Db;
  readonly ledger: AnchorLedger;
  readonly clock: Clock;
  /** Applies what is covered to the proofs, a chunk at a time; true while more is left. */
  readonly advanceEvidence: (input: { readonly origin: string }) => Promise<boolean>;
  /** Throws LEDGER_SETUP_INVALID while topic, keys, account or network are not what the ledger file says. */
  readonly requireSetup?: () => void;
  /** Told what came of each step; for metrics. */
  readonly onOutcome?: (outcome: AnchorOutcome) => void;
  /** Tells Temporal that the activity lives. Default: the heartbeat of the activity it runs in, if any. */
  readonly heartbeat?: (detail: unknown) => void;
  readonly sleep?: (ms: number) => Promise<void>;
  readonly receiptPatienceMs?: number;
}

export type Anchoring = ReturnType<typeof createAnchoring>;

export function createAnchoring(deps: LedgerDeps) {
  const { db, ledger, clock } = deps;
  const heartbeat = deps.heartbeat ?? ((detail: unknown) => asyncLocalStorage.getStore()?.heartbeat(detail));
  const sleep = deps.sleep ?? ((ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)));
  return { db, ledger, clock, heartbeat, sleep, tell, requireSendable, applyCover, loadNewest, load, end };

  function tell(outcome: AnchorOutcome): void {
    deps.onOutcome?.(outcome);
  }

  async function requireSendable(key: AttemptKey): Promise<void> {
    deps.requireSetup?.();
    if (await isFrozen(db, key)) throw new ProoflineError('LEDGER_FROZEN', 'another anchor is suspect');
  }

  /** A crash before the end leaves proofs behind their cursor; the repeat goes on from it. */
  async function applyCover({ origin }: { readonly origin: string }): Promise<void> {
    while (await deps.advanceEvidence({ origin })) heartbeat({ advancing: origin });
  }

  async function loadNewest(key: AnchorKey): Promise<{ anchor: AnchorRow; row: AttemptRow }> {
    const anchor = await readAnchor(db, key);
    const row = anchor && (await readAttempt(db, { ...key, attempt: anchor.attempt }));
    if (anchor === undefined || row === undefined)
      throw new ProoflineError('NOT_FOUND', `no attempt of an anchor of ${key.origin} at ${key.size}`);
    return { anchor, row };
  }

  async function load(input: AttemptInput): Promise<{ key: AttemptKey; row: AttemptRow }> {
    const key = { origin: input.origin, size: BigInt(input.size), attempt: input.attempt };
    const row = await readAttempt(db, key);
    if (row === undefined)
      throw new ProoflineError('NOT_FOUND', `no attempt ${input.attempt} of the anchor at ${input.size}`);
    return { key, row };
  }

  async function end(key: AttemptKey, state: 'REJECTED' | 'FAILED' | 'EXPIRED', status: string): Promise<AnchorStep> {
    await moveAttempt(db, { ...key, state, failure: { status }, now: clock.nowMicros() });
    tell({ state, status });
    return { attempt: key.attempt, state, status, ...(state !== 'EXPIRED' && { isHeld: true as const }) };
  }
}
