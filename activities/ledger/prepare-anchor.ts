import { ProoflineError } from '../../domain/errors.ts';
import { buildAnchorMessage } from '../../domain/ledger/anchor-message.ts';
import { readAnchor, readAttempt, storePrepared } from '../../store/anchors.ts';
import { type AnchorInput, type AnchorStep, held, isHeld, step } from './anchor-step.ts';
import type { Anchoring } from './anchoring.ts';

/**
 * Has a transaction signed and stores it, unless the anchor has one that may still be executed. Key (origin, size,
 * attempt): a repeat returns the stored one. What waits for an operator is returned as held. Throws SIGNER_*,
 * LEDGER_FROZEN, LEDGER_SETUP_INVALID, ANCHOR_MESSAGE_TOO_LONG, STORE_UNAVAILABLE.
 */
export function createPrepareAnchor({ db, ledger, clock, requireSendable }: Anchoring) {
  return async function prepareAnchor({ origin, size }: AnchorInput): Promise<AnchorStep> {
    const anchor = await readAnchor(db, { origin, size: BigInt(size) });
    if (anchor === undefined) throw new ProoflineError('NOT_FOUND', `no anchor of ${origin} at ${size}`);
    const key = { origin, size: BigInt(size), attempt: anchor.attempt };
    const newest = anchor.attempt === 0 ? undefined : await readAttempt(db, key);
    if (anchor.state === 'FAILED') return { attempt: anchor.attempt, state: 'FAILED', isAbandoned: true };
    if (newest !== undefined && isHeld(newest, anchor)) return held(newest, anchor);
    // Only an attempt that definitively never executes makes room for another.
    if (newest !== undefined && newest.state !== 'EXPIRED' && newest.state !== 'FAILED') return step(newest);
    await requireSendable(key);
    const prepared = await ledger.prepare(buildAnchorMessage({ origin, size: BigInt(size), root: anchor.root }));
    const { signedBytes, transactionId, ...rest } = prepared;
    // A crash before this line loses signatures of a transaction that nobody has sent.
    const row = await storePrepared(db, {
      ...key,
      attempt: anchor.attempt + 1,
      transactionId,
      prepared: rest,
      signedBytes,
      now: clock.nowMicros(),
    });
    return step(row);
  };
}
