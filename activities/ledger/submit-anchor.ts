import { ProoflineError } from '../../domain/errors.ts';
import { moveAttempt } from '../../store/anchors.ts';
import { OUTCOME_UNKNOWN } from './anchor-ledger.ts';
import { type AnchorStep, type AttemptInput, step } from './anchor-step.ts';
import type { Anchoring } from './anchoring.ts';
import { toPrepared } from './attempt-row.ts';

/**
 * Sends the stored bytes. Key (origin, size, attempt): a repeat sends the same bytes, which count once. Returns
 * SENT when a copy may be under way or time is over, REJECTED when the network refuses it for a reason of ours.
 * Throws LEDGER_UNAVAILABLE when nodes ask to come back later, LEDGER_FROZEN and
 * LEDGER_SETUP_INVALID before it is first sent.
 */
export function createSubmitAnchor({ db, ledger, clock, load, requireSendable, tell, end }: Anchoring) {
  return async function submitAnchor(input: AttemptInput): Promise<AnchorStep> {
    const { key, row } = await load(input);
    if (row.state !== 'PREPARED' && row.state !== 'REJECTED' && row.state !== 'SENT') return step(row);
    // What may be under way already is sent again whatever is wrong now: the ledger executes it once.
    if (row.state !== 'SENT') await requireSendable(key);
    // A crash after this line leaves it PREPARED: the repeat is answered DUPLICATE_TRANSACTION, which counts as sent.
    const outcome = await ledger.submit(toPrepared(row));
    switch (outcome.kind) {
      case 'sent':
      case 'too-late':
        await moveAttempt(db, {
          ...key,
          state: 'SENT',
          now: clock.nowMicros(),
          ...(outcome.status === OUTCOME_UNKNOWN && { failure: { status: outcome.status } }),
        });
        tell({ state: 'SENT', status: outcome.status });
        return { attempt: row.attempt, state: 'SENT', status: outcome.status };
      case 'resend':
        tell({ state: row.state, status: outcome.status });
        throw new ProoflineError('LEDGER_UNAVAILABLE', `the nodes answer ${outcome.status}`);
      case 'rejected':
        return end(key, 'REJECTED', outcome.status);
    }
  };
}
