import { ProoflineError } from '../errors.ts';
import type { OrgUnitId } from '../ids.ts';
import type { Allocation } from './grant.ts';

/**
 * Checks shares against the tree: each unit known and named once, and the shares next below a share (or below the
 * quota) together no more than it. So a unit's share is always there for it, whatever its siblings use. Throws
 * GRANT_ALLOCATION_INVALID. `pathOf`: root first, the unit last; undefined for units of nobody.
 */
export function checkAllocations(
  quota: number,
  allocations: readonly Allocation[],
  pathOf: (unit: OrgUnitId) => readonly OrgUnitId[] | undefined,
): void {
  const limits = new Map<OrgUnitId, number>();
  for (const { orgUnit, limit } of allocations) {
    if (limits.has(orgUnit)) throw invalid(`unit ${orgUnit} is named twice`);
    limits.set(orgUnit, limit);
  }
  const shared = new Map<OrgUnitId | undefined, number>();
  for (const { orgUnit, limit } of allocations) {
    const path = pathOf(orgUnit);
    if (path === undefined) throw invalid(`unit ${orgUnit} is none of this tenant`);
    const parent = path.slice(0, -1).findLast((unit) => limits.has(unit));
    shared.set(parent, (shared.get(parent) ?? 0) + limit);
  }
  for (const [parent, sum] of shared) {
    const room = parent === undefined ? quota : (limits.get(parent) ?? 0);
    if (sum > room)
      throw invalid(
        `${parent === undefined ? 'the quota' : `unit ${parent}`} has ${room}, its shares together have ${sum}`,
      );
  }
}

function invalid(detail: string): ProoflineError {
  return new ProoflineError('GRANT_ALLOCATION_INVALID', detail);
}
