/**
 * When batches are formed. The first proof after a rest goes at once. Under load a slot of 100 ms is formed into batches
 * together: each batch costs Temporal some 30 ms whatever its size, and checkpoints come every 200 ms anyway, so more
 * batches a second would only take the machine from sealing.
 */
export const SLOT_MS = 100;

export type FormOutcome = 'formed' | 'nothing' | 'full' | 'busy';

export interface FormingDeps {
  /** Forms one batch of the class that waited longest; with `waitingSince`, only if that waited at this instant. */
  readonly form: (waitingSince: string | undefined) => Promise<FormOutcome>;
  readonly nowMicros: () => string;
  /** Milliseconds that never go back. */
  readonly elapsedMs: () => number;
}

/**
 * One turn: forms what waits, unless this slot has had its turn. Returns the milliseconds until the next slot; 0 when
 * there is nothing to come back for. A slot forms a batch of each class that waited when it began, so that no class
 * waits for another's slots.
 */
export function createForming({ form, nowMicros, elapsedMs }: FormingDeps): () => Promise<number> {
  let nextSlotMs = Number.NEGATIVE_INFINITY;
  return async () => {
    const restMs = nextSlotMs - elapsedMs();
    if (restMs > 0) return restMs;
    const began = nowMicros();
    let outcome = await form(undefined);
    if (outcome !== 'formed') return 0;
    nextSlotMs = elapsedMs() + SLOT_MS;
    while (outcome === 'formed') outcome = await form(began);
    return Math.max(1, nextSlotMs - elapsedMs());
  };
}
