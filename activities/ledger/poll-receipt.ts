import type { Clock } from '../../domain/clock.ts';
import type { ReceiptOutcome } from './anchor-ledger.ts';

/** After a send of which nobody knows whether it arrived: consensus takes 3 to 5 s, and sending again does no harm. In ms. */
export const UNSURE_PATIENCE_MS = 6_000;
const FIRST_PAUSE_MS = 200;
const MAX_PAUSE_MS = 4_000;

export interface ReceiptPoll<P> {
  readonly ledger: {
    receipt(prepared: P, round: number): Promise<ReceiptOutcome>;
    lookUp(prepared: P): Promise<ReceiptOutcome>;
    isSendable(prepared: P): boolean;
  };
  readonly clock: Clock;
  readonly heartbeat: (detail: unknown) => void;
  readonly sleep: (ms: number) => Promise<void>;
}

/** Nodes tell within seconds of consensus and forget after three minutes; mirrors lag and never forget. */
export async function pollReceipt<P>(
  { ledger, clock, heartbeat, sleep }: ReceiptPoll<P>,
  prepared: P,
  patienceMs: number,
): Promise<ReceiptOutcome> {
  const deadline = clock.nowMs() + patienceMs;
  let pause = FIRST_PAUSE_MS;
  for (let round = 0; ; round++) {
    const outcome = await ledger.receipt(prepared, round);
    if (outcome.kind !== 'pending') return outcome;
    heartbeat({ round });
    if (clock.nowMs() + pause >= deadline || !ledger.isSendable(prepared)) return ledger.lookUp(prepared);
    await sleep(pause);
    pause = Math.min(pause * 1.5, MAX_PAUSE_MS);
  }
}
