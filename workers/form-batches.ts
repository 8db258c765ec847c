/**
 * When batches are formed. The first proof after a rest goes at once, in a batch of its own. Under load a batch stays
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
  let lastFormedMs = Number.NEGATIVE_INFINITY;
  let nextTurnMs = Number.NEGATIVE_INFINITY;
  const isUnderLoad = (): boolean => elapsedMs() - lastFormedMs < HOLD_MS;
  return async () => {
    const restMs = nextTurnMs - elapsedMs();
    if (restMs > 0) return restMs;
    for (;;) {
      const outcome = await form(isUnderLoad());
      if (outcome === 'busy') return BUSY_MS;
      if (outcome === 'formed') lastFormedMs = elapsedMs();
      else if (outcome !== 'formed-lone') break;
    }
    if (isUnderLoad()) nextTurnMs = elapsedMs() + TURN_MS;
    return 0;
  };
}
