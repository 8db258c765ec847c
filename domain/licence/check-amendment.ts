/**
 * What an ADDENDUM, REVOCATION or TRANSFER may do to the grant that it names. It takes effect at its `notBefore`, or at
 * its import if that is later, and holds as long as that grant does.
 */
import { ProoflineError } from '../errors.ts';
import type { OrgUnitId } from '../ids.ts';
import { parseInstant } from '../time.ts';
import { checkAllocations } from './allocations.ts';
import type { AddendumGrant, Allocation, Grant, GrantKind, RevocationGrant, TransferGrant } from './grant.ts';
import { MAX_QUOTA } from './quota.ts';

export type Amendment = AddendumGrant | RevocationGrant | TransferGrant;

/** A grant of the tenant that another names, as it stands. */
export interface AmendedGrant {
  readonly grantId: string;
  readonly kind: GrantKind;
  /** True also while a revocation of it waits for its `notBefore`. */
  readonly isRevoked: boolean;
  /** The kind of the grant that this one itself names. */
  readonly targetKind?: GrantKind;
  /** BASE: the end of its term or its notAfter. */
  readonly endsAtMs?: number;
  /** BASE: units of each period to come, addenda included; for the others 0. */
  readonly units: number;
  readonly shares: readonly Allocation[];
  /** What a unit and those below it used of the running period: of several, the largest. */
  readonly usedOf: (unit: OrgUnitId) => number;
}

interface AmendmentContext {
  readonly nowMs: number;
  readonly target?: AmendedGrant;
  readonly pathOf: (unit: OrgUnitId) => readonly OrgUnitId[] | undefined;
}

/** The grant that an amendment names; undefined for a BASE grant. */
export function namedGrant(grant: Grant): string | undefined {
  switch (grant.kind) {
    case 'BASE':
      return undefined;
    case 'REVOCATION':
      return grant.revokes;
    case 'ADDENDUM':
    case 'TRANSFER':
      return grant.addendumOf;
  }
}

/** Checks reference, dates, allocations and quota. Throws GRANT_REFERENCE_INVALID and the codes of those checks. */
export function checkAmendment(grant: Amendment, context: AmendmentContext): void {
  const target = checkReference(grant, context.target);
  if (grant.notAfter !== undefined)
    throw new ProoflineError(
      'GRANT_DATES_INVALID',
      `a grant of kind ${grant.kind} holds as long as ${target.grantId} does; it has no notAfter`,
    );
  const effectiveMs = Math.max(context.nowMs, Number((parseInstant(grant.notBefore) ?? 0n) / 1000n));
  if (grant.kind !== 'REVOCATION' && target.endsAtMs !== undefined && target.endsAtMs <= effectiveMs)
    throw new ProoflineError(
      'GRANT_DATES_INVALID',
      `${target.grantId} ends at ${new Date(target.endsAtMs).toISOString()}, before this takes effect`,
    );
  if (grant.kind === 'ADDENDUM') checkAddition(grant, target, context);
  if (grant.kind === 'TRANSFER') checkTransfer(grant, target, context);
}

function checkReference(grant: Amendment, target: AmendedGrant | undefined): AmendedGrant {
  const fault = faultOf(grant, target);
  if (target === undefined || fault !== undefined)
    throw new ProoflineError(
      'GRANT_REFERENCE_INVALID',
      fault ?? `there is no grant ${namedGrant(grant)} of this tenant`,
    );
  return target;
}

function faultOf(grant: Amendment, target: AmendedGrant | undefined): string | undefined {
  if (target === undefined) return undefined;
  const { grantId, kind } = target;
  if (target.isRevoked) return `${grantId} is revoked`;
  if (grant.kind !== 'REVOCATION')
    return kind === 'BASE' ? undefined : `${grantId} is a grant of kind ${kind}, not BASE`;
  if (kind === 'BASE') return undefined;
  if (kind !== 'REVOCATION')
    return `${grantId} is a grant of kind ${kind}; a BASE grant or a REVOCATION can be revoked`;
  return target.targetKind === 'BASE'
    ? undefined
    : `${grantId} itself undoes a revocation; revoke the BASE grant again`;
}

function checkAddition(grant: AddendumGrant, target: AmendedGrant, { pathOf }: AmendmentContext): void {
  checkAllocations(target.units + grant.quota, addShares(target.shares, grant.allocations), pathOf);
  if (grant.quota === 0 && grant.allocations.length === 0 && grant.entitlements.length === 0)
    throw new ProoflineError('GRANT_QUOTA_INVALID', 'the addendum adds nothing');
  if (target.units + grant.quota > MAX_QUOTA)
    throw new ProoflineError(
      'GRANT_QUOTA_INVALID',
      `${target.units} and ${grant.quota} units together exceed ${MAX_QUOTA}`,
    );
}

function checkTransfer(grant: TransferGrant, target: AmendedGrant, { pathOf }: AmendmentContext): void {
  checkAllocations(target.units, grant.allocations, pathOf);
  for (const { orgUnit, limit } of grant.allocations) {
    const used = target.usedOf(orgUnit);
    if (limit < used)
      throw new ProoflineError(
        'GRANT_ALLOCATION_BELOW_USE',
        `unit ${orgUnit} has used ${used}, its new share is ${limit}`,
      );
  }
}

/** Shares with others added to them, unit by unit. A unit named twice among `added` stays twice, and is refused. */
export function addShares(shares: readonly Allocation[], added: readonly Allocation[]): readonly Allocation[] {
  const before = new Map(shares.map((share) => [share.orgUnit, share.limit]));
  const named = new Set(added.map((share) => share.orgUnit));
  return [
    ...shares.filter((share) => !named.has(share.orgUnit)),
    ...added.map(({ orgUnit, limit }) => ({ orgUnit, limit: (before.get(orgUnit) ?? 0) + limit })),
  ];
}
