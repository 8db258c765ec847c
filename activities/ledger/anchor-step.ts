/** What the activities of an anchor take and return: Temporal's history holds it, so it is small and holds no bytes. */
import type { AnchorRow, AttemptRow, AttemptState } from '../../store/anchors.ts';

/** `consensusMs`: from submission to consensus. `confirmedMs`: from consensus to the agreement of the mirrors. */
export interface AnchorOutcome {
  readonly state: AttemptState;
  readonly status?: string;
  readonly consensusMs?: number;
  readonly confirmedMs?: number;
}

export interface AnchorInput {
  readonly origin: string;
  /** Decimal. */
  readonly size: string;
}

export interface AttemptInput extends AnchorInput {
  readonly attempt: number;
}

/** Where an anchor stands after a step. `status`: the network's word for it, where it has one. */
export interface AnchorStep {
  readonly attempt: number;
  readonly state: AttemptState;
  readonly status?: string;
  /** It waits for an operator: `settleAnchor` tells when one has decided. */
  readonly isHeld?: true;
  /** An operator gave it up: a later window anchors again. */
  readonly isAbandoned?: true;
}

export interface SettleInput extends AnchorInput {
  /** The update `retryAnchor` came since the last look. */
  readonly isRetryAsked: boolean;
}

export function step({ attempt, state }: AttemptRow): AnchorStep {
  return { attempt, state };
}

/** SUSPECT always; what the network ended for a reason of ours, until an operator's retry clears the anchor's failure. */
export function isHeld(row: AttemptRow, anchor: AnchorRow): boolean {
  if (row.state === 'SUSPECT') return true;
  return (row.state === 'REJECTED' || row.state === 'FAILED') && anchor.failure !== null;
}

export function held(row: AttemptRow, anchor: AnchorRow): AnchorStep {
  const status = row.failure?.status ?? anchor.failure?.status;
  return { ...step(row), isHeld: true, ...(status === undefined ? {} : { status }) };
}
