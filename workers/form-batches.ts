/**
 * When batches are formed. What comes after a rest goes at once, in a batch of its own. Under load of a lane a batch stays
 * open to joiners for a while (`HOLD_MS`) and is sealed meanwhile, round after round: a batch costs Temporal and its
 * worker some 100 ms of a core whatever its size, a round of sealing a tenth of that. Each lane
 * has its own load: whoever sends one proof beside a flood waits for no joiners.
 */

import type { Lane } from '../domain/lane.ts';
import type { FormOutcome } from '../store/form-batch.ts';

/** How long proofs may join a batch: less than a timestamp window, which they would wait for anyway. */
export const HOLD_MS = 800;
/** A successor is formed this long before its predecessor is shut, so that there is always one whose sealing runs. */
export const LEAD_MS = 200;
/** Turns come no closer than this while batches are open to joiners. Whoever is not of their lane waits half of it at the mean. */
export const TURN_MS = 50;
/** A large submission travels alone. */
const JOINABLE: readonly Lane[] = ['prompt', 'crowd'];
/** Another former, or a batch that takes its joiners, is done within this. */
const BUSY_MS = 10;

export interface FormingDeps {
  /** Forms one batch of the class and lane whose turn it is; one that others may join, where its lane is among these. */
  readonly form: (joinable: ReadonlySet<Lane>) => Promise<FormOutcome>;
  /** Milliseconds that never go back. */
  readonly elapsedMs: () => number;
}

/** The last two batches of a lane. */
interface Pace {
  readonly formedMs: number;
  readonly isJoinable: boolean;
  readonly beforeMs: number;
}

const AT_REST: Pace = { formedMs: Number.NEGATIVE_INFINITY, isJoinable: false, beforeMs: Number.NEGATIVE_INFINITY };

/**
 * One turn: forms a batch of each class and lane that waits and has none to join. Returns the milliseconds after which to
 * come back; 0 when there is nothing to come back for.
 */
export function createForming({ form, elapsedMs }: FormingDeps): () => Promise<number> {
  const paces = new Map<Lane, Pace>();
  let nextTurnMs = Number.NEGATIVE_INFINITY;
  const paceOf = (lane: Lane): Pace => paces.get(lane) ?? AT_REST;
  const isRecent = (formedMs: number): boolean => elapsedMs() - formedMs < HOLD_MS;
  // Two may go at once, such as of somebody who sends one proof after the other; a third in that time is load, until none comes.
  const isUnderLoad = ({ formedMs, isJoinable, beforeMs }: Pace): boolean =>
    isRecent(formedMs) && (isJoinable || isRecent(beforeMs));
  return async () => {
    const restMs = nextTurnMs - elapsedMs();
    if (restMs > 0) return restMs;
    for (;;) {
      const joinable = new Set(JOINABLE.filter((lane) => isUnderLoad(paceOf(lane))));
      const outcome = await form(joinable);
      if (outcome === 'busy') return BUSY_MS;
      if (outcome === 'nothing' || outcome === 'full') break;
      const pace = paceOf(outcome);
      paces.set(outcome, { formedMs: elapsedMs(), isJoinable: joinable.has(outcome), beforeMs: pace.formedMs });
    }
    if (JOINABLE.some((lane) => isRecent(paceOf(lane).formedMs))) nextTurnMs = elapsedMs() + TURN_MS;
    return 0;
  };
}
