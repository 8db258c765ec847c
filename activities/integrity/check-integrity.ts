import type { Clock } from '../../domain/clock.ts';
import { checkLicenceCounters, countLicenceCounters } from '../../store/check-licence-counters.ts';
import { checkLogTree } from '../../store/check-log-tree.ts';
import { type IntegrityResult, recordIntegrity } from '../../store/integrity-results.ts';
import type { Db } from '../../store/pool.ts';

export interface CheckInput {
  /** RFC 3339 UTC: the run that asks. */
  readonly at: string;
  /** Where the last step stopped, in the check's own words; absent at the start. */
  readonly after?: string;
}

/** What one step of a check found. At most 1,000 faults, each at most 200 characters and without anything secret. */
export interface CheckStep {
  /** Rows, leaves or messages that this step looked at. */
  readonly checked: number;
  readonly faults: readonly string[];
  /** Where to go on; absent at the end. */
  readonly after?: string;
}

export interface IntegrityDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly origin: string;
  readonly heartbeat: (detail: unknown) => void;
}

export type IntegrityActivities = ReturnType<typeof createIntegrityChecks>;

/** Pages of the log that one call walks: half a million leaves, a few seconds. */
const PAGES_A_CALL = 32;

/** The checks of what is in Postgres, and the record of all checks. */
export function createIntegrityChecks({ db, clock, origin, heartbeat }: IntegrityDeps) {
  return {
    /** Every licence counter against the rows that it stands for. Key (none): reads alone. Throws STORE_UNAVAILABLE. */
    async checkLicenceCounters(_input: CheckInput): Promise<CheckStep> {
      const faults = await checkLicenceCounters(db, clock.nowMicros());
      return {
        checked: await countLicenceCounters(db),
        faults: faults.map(
          ({ counter, grantId, n, orgUnit, used, rows }) =>
            `${counter} of grant ${grantId.slice(0, 64)}, period ${n}${orgUnit === null ? '' : `, unit ${orgUnit}`}: counts ${used}, has ${rows} rows`,
        ),
      };
    },

    /**
     * The leaves against the tiles, the published checkpoints and the head: the whole tree, hashed again. Key (none): reads
     * alone. Throws STORE_UNAVAILABLE.
     */
    async checkLogTree({ after }: CheckInput): Promise<CheckStep> {
      let next: bigint | undefined = BigInt(after ?? 0);
      let checked = 0;
      const faults: string[] = [];
      for (let page = 0; page < PAGES_A_CALL && next !== undefined; page++) {
        const step = await checkLogTree(db, { origin, from: next });
        checked += step.checked;
        faults.push(...step.faults);
        next = step.next;
        heartbeat({ leaves: next?.toString() });
        // Everything after a broken place is broken too.
        if (faults.length > 0) break;
      }
      return { checked, faults, ...(next !== undefined && faults.length === 0 && { after: next.toString() }) };
    },

    /** Keeps the outcome of a check, and audits a failed one. Key (check, at). Throws STORE_UNAVAILABLE. */
    recordIntegrity(result: Omit<IntegrityResult, 'finishedAt'>): Promise<void> {
      return recordIntegrity(db, { ...result, finishedAt: clock.nowMicros() });
    },
  };
}
