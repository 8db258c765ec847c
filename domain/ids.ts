/**
 * Ids: branded UUIDs, and the ids of workflows, built here and nowhere else. A proof's id is random (version 4, 122
 * bits), since knowing it lets anybody ask for its verdicts; the others carry their millisecond (version 7), so that
 * rows written together lie together.
 */

import { toHex } from './bytes.ts';
import type { CertificateLevel } from './pdf-level.ts';

declare const brand: unique symbol;
export type Id<Name extends string> = string & { readonly [brand]: Name };

export type TenantId = Id<'tenant'>;
export type OrgUnitId = Id<'org-unit'>;
export type ApiKeyId = Id<'api-key'>;
export type SubmissionId = Id<'submission'>;
export type ProofId = Id<'proof'>;
export type BatchId = Id<'batch'>;
/** A request for commands on proofs. */
export type CommandId = Id<'command'>;

/** Source of ids; production uses `timeOrderedId` for all but proofs, whose ids are random; tests a counter. */
export type NewId = () => string;

/**
 * A UUID of version 7 (RFC 9562 §5.7) of a millisecond and 10 random bytes. Ids that follow each other in time lie side
 * by side in every index that they key, so that a batch writes few pages.
 */
export function timeOrderedId(nowMs: number, random: Uint8Array): string {
  const time = nowMs.toString(16).padStart(12, '0');
  const rest = toHex(random.subarray(0, 10));
  const variant = ((Number.parseInt(rest[3] ?? '0', 16) & 0x3) | 0x8).toString(16);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${rest.slice(0, 3)}-${variant}${rest.slice(4, 7)}-${rest.slice(7, 19)}`;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

export function isUuid(value: unknown): value is string {
  return typeof value === 'string' && UUID.test(value);
}

export const workflowIds = {
  /** Generation 1 has no suffix; a batch whose motion had to be rebuilt goes on under the next. */
  certifyBatch: (batch: BatchId, generation = 1): string =>
    generation === 1 ? `batch:${batch}` : `batch:${batch}:${generation}`,
  runLog: (origin: string): string => `log:${origin}`,
  anchorCheckpoint: (origin: string, size: bigint): string => `anchor:${origin}:${size}`,
  anchorContract: (origin: string, size: bigint): string => `anchor-contract:${origin}:${size}`,
  /** A file that is asked for again, since it was refused, goes on under the next generation. */
  importLicense: (grantHash: string, generation = 1): string =>
    generation === 1 ? `license:${grantHash}` : `license:${grantHash}:${generation}`,
  changeOrganisation: (change: string): string => `org-change:${change}`,
  /** A renewal that was asked for; those of the schedule bear the schedule's id. */
  renewEvidence: (request: bigint): string => `renewEvidence:${request}`,
  renderCertificate: (proof: ProofId, level: CertificateLevel): string => `certificate:${proof}:${level}`,
} as const;
