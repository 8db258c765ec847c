import type { HcsAnchorEntry } from '../../domain/bundle.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { type LedgerTime, parseLedgerTime, parseTransactionId } from '../../domain/ledger/entity-id.ts';
import { moveAttempt, recordVerified } from '../../store/anchors.ts';
import { readKnownHash } from '../../store/topic-cursors.ts';
import type { Confirmation } from './anchor-ledger.ts';
import { type AnchorOutcome, type AnchorStep, type AttemptInput, step } from './anchor-step.ts';
import type { Anchoring } from './anchoring.ts';
import { summary, toPrepared, toReceipt, verifiedParts } from './attempt-row.ts';
import { BACKDATED_MS } from './sdk-sending.ts';

/**
 * Compares what mirrors show with what was sent and recomputes the running hash; when a quorum agrees, writes the
 * entry and what is covered, and applies it to the proofs. Key (origin, size). Returns VERIFIED, or SUSPECT, which
 * only an operator's decision ends (`settleAnchor`). Throws LEDGER_NOT_CONFIRMED while mirrors lag.
 */
export function createConfirmAnchor({ db, ledger, clock, load, tell, applyCover }: Anchoring) {
  return async function confirmAnchor(input: AttemptInput): Promise<AnchorStep> {
    const { key, row } = await load(input);
    if (row.state === 'CONSENSUS' || row.state === 'CONFIRMED') {
      const prepared = toPrepared(row);
      const confirmation = await compareWithTopic(await ledger.confirm(prepared, toReceipt(row)));
      const now = clock.nowMicros();
      const mirrors = { mirrors: confirmation.mirrors, at: now };
      switch (confirmation.kind) {
        case 'verified':
          await recordVerified(db, { ...key, ...verifiedParts(confirmation), confirmation: mirrors, now });
          tell({ state: 'VERIFIED', ...delaysOf(confirmation.entry, clock.nowMs()) });
          break;
        case 'suspect':
          await moveAttempt(db, {
            ...key,
            state: 'SUSPECT',
            confirmation: mirrors,
            failure: { status: 'LEDGER_SUSPECT' },
            now,
          });
          tell({ state: 'SUSPECT' });
          return { attempt: row.attempt, state: 'SUSPECT', status: summary(confirmation.mirrors), isHeld: true };
        case 'seen':
          await moveAttempt(db, { ...key, state: 'CONFIRMED', confirmation: mirrors, now });
          throw new ProoflineError('LEDGER_NOT_CONFIRMED', `too few mirrors yet: ${summary(confirmation.mirrors)}`);
        case 'pending':
          throw new ProoflineError('LEDGER_NOT_CONFIRMED', summary(confirmation.mirrors));
      }
    } else if (row.state !== 'VERIFIED') return row.state === 'SUSPECT' ? { ...step(row), isHeld: true } : step(row);
    await applyCover(input);
    return { attempt: row.attempt, state: 'VERIFIED' };
  };

  /** What was seen at the place before is remembered: a history that all mirrors rewrote is a contradiction too. */
  async function compareWithTopic(confirmation: Confirmation): Promise<Confirmation> {
    if (confirmation.kind !== 'verified') return confirmation;
    const { entry, mirrors } = confirmation;
    const known = await readKnownHash(db, entry, BigInt(entry.sequenceNumber) - 1n);
    if (known === undefined || known === entry.prevRunningHash) return confirmation;
    const detail = 'the running hash before it is not the one that was seen there earlier';
    return {
      kind: 'suspect',
      mirrors: mirrors.map((one) => (one.verdict === 'ok' ? { ...one, verdict: 'mismatch', detail } : one)),
    };
  }
}

/** Validity begins `BACKDATED_MS` before a transaction is signed, and it is sent at once. */
function delaysOf(entry: HcsAnchorEntry, nowMs: number): Pick<AnchorOutcome, 'consensusMs' | 'confirmedMs'> {
  const start = parseTransactionId(entry.transactionId)?.validStart;
  const reached = parseLedgerTime(entry.consensusTimestamp);
  if (start === undefined || reached === undefined) return {};
  const ms = ({ seconds, nanos }: LedgerTime): number => Number(seconds) * 1_000 + nanos / 1_000_000;
  return {
    consensusMs: Math.max(0, ms(reached) - ms(start) - BACKDATED_MS),
    confirmedMs: Math.max(0, nowMs - ms(reached)),
  };
}
