/**
 * Room: how many units are left for an org unit, and which counters one consumption raises. A proof of a unit
 * consumes at every counter on its path, the period's own and each allocation from the root down; a unit without an
 * allocation shares its parent's room. A unit of one period is never split with another period.
 */
import type { OrgUnitId } from '../ids.ts';

/** One row that counts: a period, or an allocation within it. `used` is raised by `takeUnit`. */
export interface Counter {
  readonly quota: number;
  used: number;
}

/** A running period of a grant with its allocations. */
export interface PeriodRoom {
  readonly grantId: string;
  readonly n: number;
  readonly total: Counter;
  readonly byUnit: ReadonlyMap<OrgUnitId, Counter>;
}

/** How many units proofs of this path can consume, all periods together. `path`: root first, the unit last. */
export function roomOf(periods: readonly PeriodRoom[], path: readonly OrgUnitId[]): number {
  return periods.reduce((sum, period) => sum + roomIn(period, path), 0);
}

/**
 * Consumes one unit in the first period that has room at every counter of the path, and returns that period; undefined
 * if none has. Periods are asked in the order given: those that end first come first, so that least is lost.
 */
export function takeUnit(periods: readonly PeriodRoom[], path: readonly OrgUnitId[]): PeriodRoom | undefined {
  for (const period of periods) {
    if (roomIn(period, path) < 1) continue;
    for (const counter of countersOf(period, path)) counter.used++;
    return period;
  }
  return undefined;
}

function roomIn(period: PeriodRoom, path: readonly OrgUnitId[]): number {
  let room = period.total.quota - period.total.used;
  for (const unit of path) {
    const counter = period.byUnit.get(unit);
    if (counter !== undefined) room = Math.min(room, counter.quota - counter.used);
  }
  return Math.max(0, room);
}

function countersOf(period: PeriodRoom, path: readonly OrgUnitId[]): readonly Counter[] {
  return [period.total, ...path.flatMap((unit) => period.byUnit.get(unit) ?? [])];
}
