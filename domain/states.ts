/** The life of a proof: states, and the one table of what may follow what. */
import { ProoflineError } from './errors.ts';

export const ANCHOR_POLICIES = ['NONE', 'PREFERRED', 'REQUIRED'] as const;
/** In order of strength. */
export type AnchorPolicy = (typeof ANCHOR_POLICIES)[number];

export const ANCHOR_WINDOWS = ['express', 'standard', 'economy'] as const;
export type AnchorWindow = (typeof ANCHOR_WINDOWS)[number];

export const STATES = [
  'RECEIVED',
  'SEALED',
  'TIMESTAMPED',
  'ANCHORED',
  'AWAITING_LICENSE',
  'CERTIFIED',
  'CERTIFIED_NO_ANCHOR',
  'FAILED',
  'REJECTED',
  'CANCELLED',
] as const;
export type ProofState = (typeof STATES)[number];

const ENDS = ['FAILED', 'REJECTED', 'CANCELLED'] as const;

/**
 * What may follow a state. The row lock on the proof decides every race; the drafted certificate is the point of no
 * return, which the store checks beside this table. FAILED goes back to the state before the failed stage.
 */
export const NEXT = {
  RECEIVED: ['SEALED', ...ENDS],
  SEALED: ['TIMESTAMPED', ...ENDS],
  TIMESTAMPED: ['ANCHORED', 'AWAITING_LICENSE', 'CERTIFIED', 'CERTIFIED_NO_ANCHOR', ...ENDS],
  ANCHORED: ['AWAITING_LICENSE', 'CERTIFIED', ...ENDS],
  AWAITING_LICENSE: ['CERTIFIED', 'CERTIFIED_NO_ANCHOR', ...ENDS],
  CERTIFIED: [],
  CERTIFIED_NO_ANCHOR: [],
  FAILED: ['RECEIVED', 'SEALED', 'TIMESTAMPED', 'ANCHORED', 'AWAITING_LICENSE', 'REJECTED', 'CANCELLED'],
  REJECTED: [],
  CANCELLED: [],
} as const satisfies Record<ProofState, readonly ProofState[]>;

export const FINAL_STATES = [
  'CERTIFIED',
  'CERTIFIED_NO_ANCHOR',
  'REJECTED',
  'CANCELLED',
] as const satisfies readonly ProofState[];

/** FAILED is not final: support may retry the failed stage. `?wait` returns on it all the same. */
export function isFinal(state: ProofState): boolean {
  return NEXT[state].length === 0;
}

export function mayFollow(from: ProofState, to: ProofState): boolean {
  return (NEXT[from] as readonly ProofState[]).includes(to);
}

/** The states from which `to` may be reached: the WHERE clause of a set-based transition. */
export function statesBefore(to: ProofState): readonly ProofState[] {
  return STATES.filter((from) => mayFollow(from, to));
}

/** Throws TRANSITION_NOT_ALLOWED unless the table holds it. */
export function checkTransition(from: ProofState, to: ProofState): void {
  if (!mayFollow(from, to)) throw new ProoflineError('TRANSITION_NOT_ALLOWED', `${from} to ${to}`);
}

/** What a submission's policy becomes: it may strengthen the tenant's, and weaken it only where allowed. */
export function resolveAnchorPolicy(
  tenant: AnchorPolicy,
  asked: AnchorPolicy | undefined,
  mayWeaken: boolean,
): AnchorPolicy {
  if (asked === undefined) return tenant;
  if (!mayWeaken && ANCHOR_POLICIES.indexOf(asked) < ANCHOR_POLICIES.indexOf(tenant)) {
    throw new ProoflineError('ANCHOR_POLICY_NOT_ALLOWED', `the tenant's policy is ${tenant}, asked was ${asked}`);
  }
  return asked;
}
