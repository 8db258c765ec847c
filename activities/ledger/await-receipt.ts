import { ProoflineError } from '../../domain/errors.ts';
import { moveAttempt } from '../../store/anchors.ts';
import { OUTCOME_UNKNOWN } from './anchor-ledger.ts';
import { type AnchorStep, type AttemptInput, step } from './anchor-step.ts';
import type { Anchoring } from './anchoring.ts';
import { toPrepared } from './attempt-row.ts';
import { pollReceipt, UNSURE_PATIENCE_MS } from './poll-receipt.ts';

/** How long one activity polls nodes for a receipt before it asks the mirrors, in ms. */
const RECEIPT_PATIENCE_MS = 30_000;

/**
 * Waits for the outcome of a sent transaction: nodes first, mirrors after `receiptPatienceMs`. Key (origin, size,
 * attempt). Returns CONSENSUS, FAILED (executed to no effect, for a reason of ours), EXPIRED (proven never to be
 * executed: another attempt may be made), or SENT with the status RESEND when the bytes should be sent again.
 * Throws LEDGER_NOT_CONFIRMED while nobody can tell.
 */
export function createAwaitReceipt(
  anchoring: Anchoring,
  receiptPatienceMs = RECEIPT_PATIENCE_MS,
): (input: AttemptInput) => Promise<AnchorStep> {
  const { db, ledger, clock, load, tell, end } = anchoring;
  return async function awaitAnchorReceipt(input: AttemptInput): Promise<AnchorStep> {
    const { key, row } = await load(input);
    if (row.state !== 'SENT') return step(row);
    const prepared = toPrepared(row);
    const isUnsure = row.failure?.status === OUTCOME_UNKNOWN;
    const outcome = await pollReceipt(
      anchoring,
      prepared,
      isUnsure ? Math.min(UNSURE_PATIENCE_MS, receiptPatienceMs) : receiptPatienceMs,
    );
    switch (outcome.kind) {
      case 'consensus':
        await moveAttempt(db, {
          ...key,
          state: 'CONSENSUS',
          receipt: { ...outcome.receipt },
          now: clock.nowMicros(),
        });
        tell({ state: 'CONSENSUS' });
        return { attempt: row.attempt, state: 'CONSENSUS' };
      case 'failed':
        return end(key, 'FAILED', outcome.status);
      case 'abandoned':
        return end(key, 'EXPIRED', outcome.status);
      case 'pending':
        if (ledger.isSendable(prepared)) return { attempt: row.attempt, state: 'SENT', status: 'RESEND' };
        if (await ledger.provenAbsent(prepared)) return end(key, 'EXPIRED', 'PROVEN_ABSENT');
        throw new ProoflineError('LEDGER_NOT_CONFIRMED', `nobody can tell what became of ${prepared.transactionId}`);
    }
  };
}
