/**
 * When batches are formed. What comes after a rest goes at once, in a batch of its own. Under load a batch stays
 * open to joiners for a while (`HOLD_MS`) and is sealed meanwhile, round after round: a batch costs Temporal and its
 * worker some 100 ms of a core whatever its size, a round of sealing a tenth of that. Large submissions, which travel
 * alone, are no such load: whoever sends one proof beside them waits for no joiners.
 */

/** How long proofs may join a batch: less than a timestamp window, which they would wait for anyway. */
export const HOLD_MS = 800;
/** A successor is formed this long before its predecessor is shut, so that there is always one whose sealing runs. */
export const LEAD_MS = 200;
/** Turns come no closer than this while batches are open to joiners. */
export const TURN_MS = 100;
/** Another former, or a batch that takes its joiners, is done within this. */
const BUSY_MS = 10;

export type FormOutcome = 'formed' | 'formed-lone' | 'nothing' | 'full' | 'busy';

export interface FormingDeps {
  /** Forms one batch of the class whose turn it is; one that others may join, if so asked. */
  readonly form: (isJoinable: boolean) => Promise<FormOutcome>;
  /** Milliseconds that never go back. */
  readonly elapsedMs: () => number;
}

/**
 * One turn: forms a batch of each class that waits and has none to join. Returns the milliseconds after which to come
 * back; 0 when there is nothing to come back for.
 */
export function createForming({ form, elapsedMs }: FormingDeps): () => Promise<number> {
  let last = { formedMs: Number.NEGATIVE_INFINITY, isJoinable: false };
  let beforeLastMs = Number.NEGATIVE_INFINITY;
  let nextTurnMs = Number.NEGATIVE_INFINITY;
  const isRecent = (formedMs: number): boolean => elapsedMs() - formedMs < HOLD_MS;
  // Two may go at once, such as of somebody who sends one proof after the other; a third in that time is load, until none comes.
  const isUnderLoad = (): boolean => isRecent(last.formedMs) && (last.isJoinable || isRecent(beforeLastMs));
  return async () => {
    const restMs = nextTurnMs - elapsedMs();
    if (restMs > 0) return restMs;
    for (;;) {
      const isJoinable = isUnderLoad();
      const outcome = await form(isJoinable);
      if (outcome === 'busy') return BUSY_MS;
      if (outcome === 'formed') {
        beforeLastMs = last.formedMs;
        last = { formedMs: elapsedMs(), isJoinable };
      } else if (outcome !== 'formed-lone') break;
    }
    if (isRecent(last.formedMs)) nextTurnMs = elapsedMs() + TURN_MS;
    return 0;
  };
}
