/**
 * One checkpoint into the registry contract, from wherever Postgres shows it: signed bytes are there before they are
 * first sent, the ledger executes a transaction at most once, and the contract takes a root at most once.
 */
import { asyncLocalStorage } from '@temporalio/activity';
import type { Clock } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { buildAnchorMessage } from '../../domain/ledger/anchor-message.ts';
import type { AnchorKey, AttemptKey, AttemptRow } from '../../store/anchors.ts';
import {
  type ContractAnchorRow,
  moveContractAttempt,
  readContractAnchor,
  readContractAttempt,
  recordContractVerified,
  storeContractPrepared,
} from '../../store/contract-anchors.ts';
import type { Db } from '../../store/pool.ts';
import { OUTCOME_UNKNOWN } from './anchor-ledger.ts';
import { type AnchorInput, type AnchorStep, held, isHeld } from './anchor-step.ts';
import type { ContractLedger, PreparedCall } from './contract-ledger.ts';
import { pollReceipt, UNSURE_PATIENCE_MS } from './poll-receipt.ts';
import { createSettleAnchor } from './settle-anchor.ts';

/** How long one activity polls nodes for a receipt before it asks the mirrors, in ms. */
const RECEIPT_PATIENCE_MS = 20_000;

export interface ContractDeps {
  readonly db: Db;
  readonly ledger: ContractLedger;
  readonly clock: Clock;
  /** Applies what is covered to the proofs, a chunk at a time; true while more is left. */
  readonly advanceEvidence: (input: { readonly origin: string }) => Promise<boolean>;
  readonly heartbeat?: (detail: unknown) => void;
  readonly sleep?: (ms: number) => Promise<void>;
  readonly receiptPatienceMs?: number;
}

export type ContractActivities = ReturnType<typeof createContractActivities>;

export function createContractActivities(deps: ContractDeps) {
  const { db, ledger, clock } = deps;
  const heartbeat = deps.heartbeat ?? ((detail: unknown) => asyncLocalStorage.getStore()?.heartbeat(detail));
  const sleep = deps.sleep ?? ((ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)));
  const receiptPatienceMs = deps.receiptPatienceMs ?? RECEIPT_PATIENCE_MS;

  return {
    /**
     * Takes the anchor as far as it goes now. Key (origin, size, attempt): a repeat goes on from what is stored.
     * Returns VERIFIED; EXPIRED when its transaction never executes, so that the next call prepares another; what
     * waits for a person, as held: REJECTED, FAILED, SUSPECT; or FAILED as abandoned. Throws LEDGER_UNAVAILABLE, LEDGER_NOT_CONFIRMED, SIGNER_*.
     */
    async anchorInContract({ origin, size }: AnchorInput): Promise<AnchorStep> {
      const anchorKey = { origin, size: BigInt(size) };
      const anchor = await loadAnchor(anchorKey);
      if (anchor.state === 'FAILED') return { attempt: anchor.attempt, state: 'FAILED', isAbandoned: true };
      const row = await openAttempt(anchorKey, anchor);
      const key = { ...anchorKey, attempt: row.attempt };
      if (isHeld(row, anchor)) return held(row, anchor);
      let { state } = row;
      if (state === 'PREPARED' || state === 'REJECTED' || state === 'SENT') {
        const sent = await send(key, row);
        if (sent.state !== 'SENT') return sent;
        const outcome = await waitForOutcome(key, row, sent.status === OUTCOME_UNKNOWN);
        if (outcome.state !== 'CONSENSUS') return outcome;
        state = 'CONSENSUS';
      }
      if (state === 'CONSENSUS' || state === 'CONFIRMED') {
        const confirmed = await confirm(key, row);
        if (confirmed.state !== 'VERIFIED') return confirmed;
        state = 'VERIFIED';
      }
      if (state === 'VERIFIED' && anchor.carriesProofs) await applyCover({ origin });
      return { attempt: row.attempt, state };
    },

    /** What operators decided about it. */
    settleContractAnchor: createSettleAnchor({
      ...{ medium: 'contract', db, clock, heartbeat, applyCover },
      loadNewest: async (key) => {
        const anchor = await loadAnchor(key);
        const row = await readContractAttempt(db, { ...key, attempt: anchor.attempt });
        if (row === undefined)
          throw new ProoflineError('NOT_FOUND', `no attempt of a contract anchor of ${key.origin} at ${key.size}`);
        return { anchor, row };
      },
      confirmWithout: async (row, distrustedMirrors) => {
        const confirmation = await ledger.confirmWithout(toPrepared(row), distrustedMirrors);
        if (confirmation.kind !== 'verified') return confirmation;
        const { kind, mirrors, entry } = confirmation;
        return { kind, mirrors, stands: { medium: 'contract', entry } };
      },
    }),
  };

  /** A crash before the end leaves proofs behind their cursor; the repeat goes on from it. */
  async function applyCover({ origin }: { readonly origin: string }): Promise<void> {
    while (await deps.advanceEvidence({ origin })) heartbeat({ advancing: origin });
  }

  async function loadAnchor(key: AnchorKey): Promise<ContractAnchorRow> {
    const anchor = await readContractAnchor(db, key);
    if (anchor === undefined)
      throw new ProoflineError('NOT_FOUND', `no contract anchor of ${key.origin} at ${key.size}`);
    return anchor;
  }

  /** The newest attempt, or another where that one definitively made no entry. */
  async function openAttempt(key: AnchorKey, anchor: ContractAnchorRow): Promise<AttemptRow> {
    const newest =
      anchor.attempt === 0 ? undefined : await readContractAttempt(db, { ...key, attempt: anchor.attempt });
    const isOver = newest?.state === 'EXPIRED' || newest?.state === 'FAILED';
    if (newest !== undefined && (!isOver || isHeld(newest, anchor))) return newest;
    const message = buildAnchorMessage({ origin: key.origin, size: key.size, root: anchor.root });
    const { signedBytes, transactionId, ...prepared } = await ledger.prepare(message);
    // A crash before this line loses signatures of a transaction that nobody has sent.
    return storeContractPrepared(db, {
      ...key,
      attempt: anchor.attempt + 1,
      transactionId,
      prepared,
      signedBytes,
      now: clock.nowMicros(),
    });
  }

  async function send(key: AttemptKey, row: AttemptRow): Promise<AnchorStep> {
    // A crash after this line leaves it PREPARED: the repeat is answered DUPLICATE_TRANSACTION, which counts as sent.
    const { kind, status } = await ledger.submit(toPrepared(row));
    if (kind === 'resend') throw new ProoflineError('LEDGER_UNAVAILABLE', `the nodes answer ${status}`);
    if (kind === 'rejected') return end(key, 'REJECTED', status);
    await moveContractAttempt(db, { ...key, state: 'SENT', now: clock.nowMicros() });
    return { attempt: key.attempt, state: 'SENT', status };
  }

  async function waitForOutcome(key: AttemptKey, row: AttemptRow, isUnsure: boolean): Promise<AnchorStep> {
    const prepared = toPrepared(row);
    const patienceMs = isUnsure ? Math.min(UNSURE_PATIENCE_MS, receiptPatienceMs) : receiptPatienceMs;
    const outcome = await pollReceipt({ ledger, clock, heartbeat, sleep }, prepared, patienceMs);
    switch (outcome.kind) {
      case 'consensus':
        await moveContractAttempt(db, { ...key, state: 'CONSENSUS', now: clock.nowMicros() });
        return { attempt: key.attempt, state: 'CONSENSUS' };
      case 'failed':
        return end(key, 'FAILED', outcome.status);
      case 'abandoned':
        return end(key, 'EXPIRED', outcome.status);
      case 'pending':
        // While the bytes may be sent, the repeat of this activity sends them again.
        if (!ledger.isSendable(prepared) && (await ledger.provenAbsent(prepared)))
          return end(key, 'EXPIRED', 'PROVEN_ABSENT');
        throw new ProoflineError('LEDGER_NOT_CONFIRMED', `nobody can tell what became of ${prepared.transactionId}`);
    }
  }

  async function confirm(key: AttemptKey, row: AttemptRow): Promise<AnchorStep> {
    const confirmation = await ledger.confirm(toPrepared(row));
    const now = clock.nowMicros();
    const { mirrors } = confirmation;
    const said = mirrors.map(({ mirror, verdict, detail }) => `${mirror}: ${verdict} ${detail}`.trim()).join('; ');
    switch (confirmation.kind) {
      case 'verified':
        await recordContractVerified(db, {
          ...key,
          entry: confirmation.entry,
          confirmation: { mirrors, at: now },
          now,
        });
        return { attempt: key.attempt, state: 'VERIFIED' };
      case 'suspect':
        await moveContractAttempt(db, {
          ...key,
          state: 'SUSPECT',
          confirmation: { mirrors, at: now },
          failure: { status: 'LEDGER_SUSPECT' },
          now,
        });
        return { attempt: key.attempt, state: 'SUSPECT', status: said, isHeld: true };
      case 'seen':
        await moveContractAttempt(db, { ...key, state: 'CONFIRMED', confirmation: { mirrors, at: now }, now });
        throw new ProoflineError('LEDGER_NOT_CONFIRMED', `too few mirrors yet: ${said}`);
      case 'pending':
        throw new ProoflineError('LEDGER_NOT_CONFIRMED', said);
    }
  }

  async function end(key: AttemptKey, state: 'REJECTED' | 'FAILED' | 'EXPIRED', status: string): Promise<AnchorStep> {
    await moveContractAttempt(db, { ...key, state, failure: { status }, now: clock.nowMicros() });
    return { attempt: key.attempt, state, status, ...(state !== 'EXPIRED' && { isHeld: true as const }) };
  }
}

function toPrepared(row: AttemptRow): PreparedCall {
  return {
    ...(row.prepared as unknown as Omit<PreparedCall, 'signedBytes' | 'transactionId'>),
    transactionId: row.transactionId,
    signedBytes: row.signedBytes,
  };
}
