/** Why proofs of a unit wait for a licence, and what would release them. */
import type { OrgUnitId } from '../ids.ts';
import { type PeriodRoom, roomOf } from './rooms.ts';

export type WaitCause =
  /** No period runs. */
  | 'no-licence'
  /** Every running period is used up. */
  | 'quota-exhausted'
  /** A period has units left, but not for this unit: a share on its path is used up. */
  | 'share-exhausted'
  /** A newer revocation list is overdue beyond its grace. */
  | 'revocation-list-overdue'
  /** There is room; the next drain serves them. */
  | 'in-turn';

/** What an administrator, the issuer or time can do. */
export type Release = 'GRANT' | 'ADDENDUM' | 'SHARE' | 'RENEWAL' | 'REVOCATION_UNDONE' | 'REVOCATION_LIST';

export interface WaitExplained {
  readonly cause: WaitCause;
  /** The unit whose share is used up. */
  readonly exhaustedUnit: OrgUnitId | null;
  readonly releasedBy: readonly Release[];
}

export interface WaitContext {
  /** Running periods that may be consumed, full ones included. */
  readonly periods: readonly PeriodRoom[];
  /** A grant opens a further period by itself. */
  readonly isRenewalAhead: boolean;
  /** A grant would run if it were not revoked. */
  readonly isRevocationInTheWay: boolean;
  readonly isListBlocking: boolean;
}

/** Explains the wait of a unit. `path`: root first, the unit last. */
export function explainWait(path: readonly OrgUnitId[], context: WaitContext): WaitExplained {
  const { periods } = context;
  if (context.isListBlocking)
    return { cause: 'revocation-list-overdue', exhaustedUnit: null, releasedBy: ['REVOCATION_LIST'] };
  if (roomOf(periods, path) > 0) return { cause: 'in-turn', exhaustedUnit: null, releasedBy: [] };
  const byTime: Release[] = context.isRenewalAhead ? ['RENEWAL'] : [];
  const undone: Release[] = context.isRevocationInTheWay ? ['REVOCATION_UNDONE'] : [];
  if (periods.length === 0)
    return { cause: 'no-licence', exhaustedUnit: null, releasedBy: ['GRANT', ...byTime, ...undone] };
  const exhaustedUnit = firstFullShare(periods, path);
  if (exhaustedUnit !== undefined)
    return { cause: 'share-exhausted', exhaustedUnit, releasedBy: ['SHARE', 'GRANT', ...byTime, ...undone] };
  return { cause: 'quota-exhausted', exhaustedUnit: null, releasedBy: ['ADDENDUM', 'GRANT', ...byTime, ...undone] };
}

function firstFullShare(periods: readonly PeriodRoom[], path: readonly OrgUnitId[]): OrgUnitId | undefined {
  for (const { total, byUnit } of periods) {
    if (total.used >= total.quota) continue;
    const full = path.find((unit) => {
      const share = byUnit.get(unit);
      return share !== undefined && share.used >= share.quota;
    });
    if (full !== undefined) return full;
  }
  return undefined;
}
