import { ProoflineError } from '../errors.ts';
import type { OrgUnitId } from '../ids.ts';
import { parseInstant } from '../time.ts';
import { checkAllocations } from './allocations.ts';
import { type AmendedGrant, checkAmendment } from './check-amendment.ts';
import type { BaseGrant, Grant } from './grant.ts';
import { MAX_QUOTA } from './quota.ts';
import { endOfTerm, periodOf } from './terms.ts';

/** What the store knows of the tenant when a grant arrives. */
export interface GrantContext {
  readonly instanceFingerprint: string;
  readonly nowMs: number;
  /** False also where the requester may not know that the tenant exists. */
  readonly isTenantKnown: boolean;
  /** Hex hash of the grant that bears the same id, whosever it is. */
  readonly sameId?: string;
  /** The tenant's last grant. */
  readonly last?: { readonly grantId: string; readonly seq: number; readonly hash: string };
  readonly pathOf: (unit: OrgUnitId) => readonly OrgUnitId[] | undefined;
  /** The tenant's grant that this one names, if there is one. */
  readonly target?: AmendedGrant;
}

/**
 * Every check of an import after the signature, in their order: instance, tenant, id, chain, reference, dates,
 * allocations, quota. Throws GRANT_* of the first that fails; `unchanged` if this very file was imported before.
 */
export function checkGrant(grant: Grant, hash: string, context: GrantContext): 'unchanged' | 'fits' {
  if (grant.instanceFingerprint !== context.instanceFingerprint)
    throw new ProoflineError(
      'GRANT_WRONG_INSTANCE',
      `this instance has fingerprint ${context.instanceFingerprint}, the grant names ${grant.instanceFingerprint}`,
    );
  if (!context.isTenantKnown) throw new ProoflineError('GRANT_TENANT_UNKNOWN', `tenant ${grant.tenant}`);
  if (context.sameId === hash) return 'unchanged';
  if (context.sameId !== undefined)
    throw new ProoflineError('GRANT_ID_REUSED', `${grant.grantId} is the grant with hash ${context.sameId}`);
  checkChain(grant, context);
  if (grant.kind === 'BASE') {
    checkDates(grant, context.nowMs);
    checkAllocations(grant.quota, grant.allocations, context.pathOf);
    checkQuota(grant);
  } else checkAmendment(grant, context);
  return 'fits';
}

function checkChain(grant: Grant, { last }: GrantContext): void {
  const next = (last?.seq ?? 0) + 1;
  if (grant.seq > next) {
    const missing = grant.seq - 1 === next ? `seq ${next} is` : `seq ${next} to ${grant.seq - 1} are`;
    throw new ProoflineError(
      'GRANT_CHAIN_BROKEN',
      `the grant has seq ${grant.seq}, but ${missing} missing; it follows the file with hash ${grant.previousGrantHash}`,
    );
  }
  if (grant.seq < next)
    throw new ProoflineError(
      'GRANT_SEQ_TAKEN',
      `the grant has seq ${grant.seq}, which is taken; the next is seq ${next} after hash ${last?.hash}`,
    );
  if (grant.previousGrantHash !== last?.hash)
    throw new ProoflineError(
      'GRANT_CHAIN_FORKED',
      `the grant follows hash ${grant.previousGrantHash}, the last one here is ${last?.grantId} with hash ${last?.hash}`,
    );
}

function checkDates(grant: BaseGrant, nowMs: number): void {
  const notBefore = instantMs(grant.notBefore);
  const notAfter = grant.notAfter === undefined ? undefined : instantMs(grant.notAfter);
  const { startsAtMs } = periodOf(grant.term, 0);
  const endsAtMs = endOfTerm(grant.term);
  const faults: readonly (readonly [boolean, string])[] = [
    [
      notAfter !== undefined && notAfter <= notBefore,
      `notAfter ${grant.notAfter} is not after notBefore ${grant.notBefore}`,
    ],
    [notAfter !== undefined && notAfter <= nowMs, `the grant ended at ${grant.notAfter}`],
    [endsAtMs !== undefined && endsAtMs <= nowMs, `its term ended at ${written(endsAtMs)}`],
    [
      endsAtMs !== undefined && endsAtMs <= notBefore,
      `its term ends at ${written(endsAtMs)}, before notBefore ${grant.notBefore}`,
    ],
    [
      notAfter !== undefined && startsAtMs >= notAfter,
      `its term begins at ${written(startsAtMs)}, after notAfter ${grant.notAfter}`,
    ],
  ];
  const fault = faults.find(([isFault]) => isFault)?.[1];
  if (fault !== undefined) throw new ProoflineError('GRANT_DATES_INVALID', fault);
}

function checkQuota({ quota, term }: BaseGrant): void {
  if (quota < 1 || quota > MAX_QUOTA)
    throw new ProoflineError('GRANT_QUOTA_INVALID', `the quota is ${quota}, expected 1 to ${MAX_QUOTA}`);
  if ('rollover' in term && term.rollover > quota)
    throw new ProoflineError('GRANT_QUOTA_INVALID', `the rollover ${term.rollover} exceeds the quota ${quota}`);
}

function written(ms: number | undefined): string {
  return ms === undefined ? 'never' : new Date(ms).toISOString();
}

/** The parser has checked the form. */
function instantMs(instant: string): number {
  return Number((parseInstant(instant) ?? 0n) / 1000n);
}
