/**
 * The support verbs: which is allowed from which state, and what it does. The row lock on the proof, held while this is
 * asked, decides every race; the drafted certificate is the point of no return, whatever the state says.
 */
import type { ErrorCode } from './errors.ts';
import type { AnchorPolicy, ProofState } from './states.ts';

export const COMMAND_VERBS = ['cancel', 'reject', 'retry', 'certify-without-anchor'] as const;
export type CommandVerb = (typeof COMMAND_VERBS)[number];

/** Proofs that one request names, one step of a filter takes, and one transaction decides. */
export const MAX_COMMANDS = 1_000;

/** What is known of a proof under its row lock. */
export interface ProofFacts {
  readonly state: ProofState;
  readonly anchorPolicy: AnchorPolicy;
  readonly isDrafted: boolean;
  readonly isReleased: boolean;
  /** The stage that failed, of a FAILED proof. */
  readonly failedStage: string | null;
  /** What the log already holds for it, whatever its state. */
  readonly evidence: Evidence;
}

/** How far the evidence of a proof has come: the states that it may be in without a licence. */
export type Evidence = (typeof EVIDENCE)[number];
const EVIDENCE = ['RECEIVED', 'SEALED', 'TIMESTAMPED', 'ANCHORED'] as const satisfies readonly ProofState[];

export type Decision =
  | { readonly effect: 'end'; readonly to: 'CANCELLED' | 'REJECTED' }
  /** The states to pass through, in order: the one before the failed stage, then what evidence came meanwhile. */
  | { readonly effect: 'retry'; readonly through: readonly Evidence[] }
  | { readonly effect: 'release' }
  | { readonly effect: 'refuse'; readonly code: ErrorCode; readonly detail: string };

const FINAL = {
  CERTIFIED: 'it is certified',
  CERTIFIED_NO_ANCHOR: 'it is certified',
  REJECTED: 'it is REJECTED already',
  CANCELLED: 'it is CANCELLED already',
} as const;
const MAY_END = {
  RECEIVED: true,
  SEALED: true,
  TIMESTAMPED: true,
  ANCHORED: true,
  AWAITING_LICENSE: true,
  FAILED: true,
  ...FINAL,
} as const;
const GOES_ON = 'it has not failed: it goes on by itself';
const NO_TIMESTAMP = 'it has no timestamp yet: ask again once it is TIMESTAMPED';

/** True where the verb is allowed; else why not, as the end of a sentence about the proof. */
export const ALLOWED = {
  cancel: MAY_END,
  reject: MAY_END,
  retry: {
    RECEIVED: GOES_ON,
    SEALED: GOES_ON,
    TIMESTAMPED: GOES_ON,
    ANCHORED: GOES_ON,
    AWAITING_LICENSE: GOES_ON,
    FAILED: true,
    ...FINAL,
  },
  'certify-without-anchor': {
    RECEIVED: NO_TIMESTAMP,
    SEALED: NO_TIMESTAMP,
    TIMESTAMPED: true,
    ANCHORED: 'it is anchored already',
    AWAITING_LICENSE: 'it waits for a licence, not for an anchor',
    FAILED: 'it has FAILED: retry it first',
    ...FINAL,
  },
} as const satisfies Record<CommandVerb, Record<ProofState, true | string>>;

/** Decides one command on one proof. */
export function decideCommand(verb: CommandVerb, proof: ProofFacts): Decision {
  if (proof.isDrafted && !(proof.state in FINAL))
    return refuse('its certificate is drafted, the point of no return; only its signature is missing');
  const allowed: true | string = ALLOWED[verb][proof.state];
  if (allowed !== true) return refuse(allowed);
  switch (verb) {
    case 'cancel':
      return { effect: 'end', to: 'CANCELLED' };
    case 'reject':
      return { effect: 'end', to: 'REJECTED' };
    case 'retry':
      return { effect: 'retry', through: statesOfRetry(proof.failedStage, proof.evidence) };
    case 'certify-without-anchor':
      if (proof.anchorPolicy === 'NONE') return refuse('its policy is NONE: it waits for no anchor');
      return proof.isReleased ? refuse('it is released already') : { effect: 'release' };
  }
}

/**
 * From the state before the failed stage to what the evidence has come to since. A stage beyond the evidence, such as
 * CERTIFIED, begins again where the evidence is.
 */
function statesOfRetry(failedStage: string | null, evidence: Evidence): readonly Evidence[] {
  const reached = EVIDENCE.indexOf(evidence);
  const failed = (EVIDENCE as readonly string[]).indexOf(failedStage ?? '');
  return EVIDENCE.slice(failed < 1 ? reached : Math.min(failed - 1, reached), reached + 1);
}

function refuse(detail: string): Decision {
  return { effect: 'refuse', code: 'TRANSITION_NOT_ALLOWED', detail };
}
