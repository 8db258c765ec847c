import type { ProofId } from './ids.ts';
import type { ProofState } from './states.ts';

/** Names of events are API. */
export const EVENT_TYPES = [
  'proof.received',
  'proof.sealed',
  'proof.timestamped',
  'proof.anchored',
  'proof.awaiting_license',
  'proof.certified',
  'proof.failed',
  'proof.rejected',
  'proof.cancelled',
  'certificate.rendered',
  'license.imported',
  'license.exhausted',
  'license.expiring',
  'endpoint.disabled',
  'report.ready',
  'export.delivered',
  'export.failed',
  'agent.enrolled',
  'agent.revoked',
] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** The event that each transition writes; `proof.certified` says which final state it is. */
export const EVENT_OF_STATE = {
  RECEIVED: 'proof.received',
  SEALED: 'proof.sealed',
  TIMESTAMPED: 'proof.timestamped',
  ANCHORED: 'proof.anchored',
  AWAITING_LICENSE: 'proof.awaiting_license',
  CERTIFIED: 'proof.certified',
  CERTIFIED_NO_ANCHOR: 'proof.certified',
  FAILED: 'proof.failed',
  REJECTED: 'proof.rejected',
  CANCELLED: 'proof.cancelled',
} as const satisfies Record<ProofState, EventType>;

/** The id of one proof's event: deterministic, so that every fan-out of the same row names it alike. */
export function eventId(proof: ProofId, type: EventType, n: number): string {
  return `${proof}:${type}:${n}`;
}
