/** The stages of a proof as clients see them, each with its time or an estimate. */
import { toMicros } from '../domain/clock.ts';
import type { AnchorPolicy, AnchorWindow, ProofState } from '../domain/states.ts';
import type { TimelineStep } from '../store/proofs.read.ts';

export const STAGES = ['seal', 'timestamp', 'anchor', 'licence', 'certificate'] as const;
export type StageName = (typeof STAGES)[number];

export interface Stage {
  readonly stage: StageName;
  readonly state: 'done' | 'pending' | 'waiting' | 'not-required' | 'failed' | 'stopped';
  readonly at: string | null;
  readonly eta: string | null;
}

/** Usual milliseconds from receipt to the end of a stage, without the anchor's window. */
const USUAL_MS = { seal: 1_000, timestamp: 3_000, ledger: 6_000, certificate: 1_000 };
const WINDOW_MS: Record<AnchorWindow, number> = { express: 5_000, standard: 60_000, economy: 3_600_000 };

const STAGE_OF_STATE: Partial<Record<ProofState, StageName>> = {
  SEALED: 'seal',
  TIMESTAMPED: 'timestamp',
  ANCHORED: 'anchor',
  CERTIFIED: 'certificate',
  CERTIFIED_NO_ANCHOR: 'certificate',
};

export interface StagesInput {
  readonly state: ProofState;
  readonly anchorPolicy: AnchorPolicy;
  readonly anchorWindow: AnchorWindow;
  readonly receivedAt: string;
  /** Oldest first. */
  readonly steps: readonly TimelineStep[];
}

/** What is done, what is to come and when; an estimate that has passed is no longer given. */
export function describeStages(proof: StagesInput, nowMs: number): Stage[] {
  const doneAt = new Map<StageName, string>();
  let waitsSince: string | null = null;
  for (const { state, at } of proof.steps) {
    const stage = STAGE_OF_STATE[state];
    // A retried stage may be noted twice; the last time is when it held.
    if (stage !== undefined) doneAt.set(stage, at);
    if (state === 'AWAITING_LICENSE') waitsSince = at;
  }
  const certified = doneAt.get('certificate');
  if (certified !== undefined) doneAt.set('licence', certified);
  const etas = estimate(proof);
  let isBroken = false;
  return STAGES.map((stage): Stage => {
    const at = doneAt.get(stage);
    if (at !== undefined) return { stage, state: 'done', at, eta: null };
    if (stage === 'anchor' && proof.anchorPolicy === 'NONE')
      return { stage, state: 'not-required', at: null, eta: null };
    switch (proof.state) {
      case 'REJECTED':
      case 'CANCELLED':
        return { stage, state: 'stopped', at: null, eta: null };
      case 'FAILED': {
        const state = isBroken ? 'stopped' : 'failed';
        isBroken = true;
        return { stage, state, at: null, eta: null };
      }
      case 'AWAITING_LICENSE':
        if (stage === 'licence') return { stage, state: 'waiting', at: waitsSince, eta: null };
        return { stage, state: 'pending', at: null, eta: null };
      case 'CERTIFIED_NO_ANCHOR':
        return { stage, state: 'pending', at: null, eta: null };
      default: {
        const etaMs = etas[stage];
        return { stage, state: 'pending', at: null, eta: etaMs > nowMs ? toMicros(BigInt(etaMs) * 1000n) : null };
      }
    }
  });
}

/** Milliseconds since the epoch at which each stage usually ends. */
function estimate({ receivedAt, anchorPolicy, anchorWindow }: StagesInput): Record<StageName, number> {
  const receivedMs = Date.parse(receivedAt);
  const timestamp = receivedMs + USUAL_MS.timestamp;
  const anchor = timestamp + WINDOW_MS[anchorWindow] + USUAL_MS.ledger;
  const licence = (anchorPolicy === 'NONE' ? timestamp : anchor) + USUAL_MS.certificate;
  return { seal: receivedMs + USUAL_MS.seal, timestamp, anchor, licence, certificate: licence };
}

const ORDER: readonly ProofState[] = [
  'RECEIVED',
  'SEALED',
  'TIMESTAMPED',
  'ANCHORED',
  'AWAITING_LICENSE',
  'CERTIFIED_NO_ANCHOR',
  'CERTIFIED',
];
const ENDED: readonly ProofState[] = ['FAILED', 'REJECTED', 'CANCELLED'];

/**
 * The stages of a submission: one is done when every proof that still goes on has passed it. Times stand on the
 * proofs.
 */
export function describeSubmissionStages(
  submission: Omit<StagesInput, 'state' | 'steps'>,
  states: readonly ProofState[],
  nowMs: number,
): Stage[] {
  const going = states.filter((state) => !ENDED.includes(state));
  const slowest = going.length === 0 ? undefined : ORDER[Math.min(...going.map((state) => ORDER.indexOf(state)))];
  const isPast = (state: ProofState): boolean =>
    slowest !== undefined && ORDER.indexOf(slowest) >= ORDER.indexOf(state);
  const isDone: Record<StageName, boolean> = {
    seal: isPast('SEALED'),
    timestamp: isPast('TIMESTAMPED'),
    anchor: going.length > 0 && going.every((state) => state === 'ANCHORED' || state === 'CERTIFIED'),
    licence: isPast('CERTIFIED_NO_ANCHOR'),
    certificate: isPast('CERTIFIED_NO_ANCHOR'),
  };
  const waits = going.includes('AWAITING_LICENSE');
  return describeStages({ ...submission, state: slowest ?? 'CANCELLED', steps: [] }, nowMs).map((stage) => {
    if (isDone[stage.stage]) return { ...stage, state: 'done', eta: null };
    return stage.stage === 'licence' && waits ? { ...stage, state: 'waiting', eta: null } : stage;
  });
}
