import {
  CancellationScope,
  isCancellation,
  log,
  setCurrentDetails,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import type { CheckInput, CheckStep, IntegrityActivities } from '../activities/integrity/check-integrity.ts';
import { activity } from './activity.ts';
import { searchAttributes } from './messages.ts';
import { createPersistence, failureCode } from './persist.ts';
import { type ActivityName, CHECK_LIMIT_MS } from './policies.ts';
import { scheduledTime } from './scheduled-time.ts';

/**
 * What is checked each night, one after the other. One more: its activity `(CheckInput) => Promise<CheckStep>`, its row in
 * policies.ts, its entry here; where it fails, `runbooks/integrity.md` says what to do.
 */
const CHECKS: readonly { readonly name: string; readonly activity: ActivityName }[] = [
  { name: 'licence-counters', activity: 'checkLicenceCounters' },
  { name: 'log-tree', activity: 'checkLogTree' },
  { name: 'topic', activity: 'checkTopic' },
];

/** Faults that are kept of a check; all are counted. */
const KEPT_FAULTS = 20;

export interface CheckIntegrityInput {
  /** RFC 3339 UTC: the run that the results belong to; absent: the time that the schedule meant. */
  readonly at?: string;
  /** A check is given up after this; absent: `CHECK_LIMIT_MS`. */
  readonly limitMs?: number;
}

export interface CheckOutcome {
  readonly check: string;
  /** FAILED: there are faults. UNFINISHED: there are none, and it could not look everywhere; `code` says why. */
  readonly state: 'PASSED' | 'FAILED' | 'UNFINISHED';
  readonly checked: number;
  readonly faultCount: number;
  /** The first of them. */
  readonly faults: readonly string[];
  readonly code?: string;
}

/**
 * Holds what is stored against itself and against the outside, check by check. A check that cannot run keeps no other
 * from running; each outcome is a row in Postgres and a metric, a failed one an audit entry too.
 */
export async function checkIntegrity(
  input: CheckIntegrityInput = {},
): Promise<{ readonly at: string; readonly outcomes: readonly CheckOutcome[] }> {
  const { persist } = createPersistence();
  const record = activity<IntegrityActivities['recordIntegrity']>('recordIntegrity');
  const at = input.at ?? scheduledTime();
  const outcomes: CheckOutcome[] = [];
  for (const { name, activity: type } of CHECKS) {
    setCurrentDetails(describe(outcomes, `\n- ${name}: under way`));
    const outcome = await runCheck(name, type, at, input.limitMs ?? CHECK_LIMIT_MS);
    await persist('STORE', 'recordIntegrity', () => record({ ...outcome, at }));
    outcomes.push(outcome);
  }
  if (outcomes.some(({ state }) => state === 'FAILED'))
    upsertSearchAttributes([{ key: searchAttributes.failureCode, value: 'INTEGRITY_FAULT' }]);
  setCurrentDetails(describe(outcomes));
  return { at, outcomes };
}

/** Takes the check's steps until it is through. A fault found stays a fault, even if the check does not get to its end. */
async function runCheck(check: string, type: ActivityName, at: string, limitMs: number): Promise<CheckOutcome> {
  const step = activity<(input: CheckInput) => Promise<CheckStep>>(type);
  const faults: string[] = [];
  let [checked, faultCount] = [0, 0];
  let after: string | undefined;
  const outcome = (state: CheckOutcome['state'], code?: string): CheckOutcome => ({
    check,
    state: faultCount > 0 ? 'FAILED' : state,
    checked,
    faultCount,
    faults,
    ...(code !== undefined && { code }),
  });
  try {
    await CancellationScope.withTimeout(limitMs, async () => {
      do {
        const done = await step(after === undefined ? { at } : { at, after });
        checked += done.checked;
        faultCount += done.faults.length;
        faults.push(...done.faults.slice(0, KEPT_FAULTS - faults.length));
        after = done.after;
      } while (after !== undefined);
    });
    return outcome('PASSED');
  } catch (error) {
    const isOver = isCancellation(error) && !CancellationScope.current().consideredCancelled;
    const code = isOver ? 'TIMEOUT' : failureCode(error);
    if (code === undefined || CancellationScope.current().consideredCancelled) throw error;
    log.warn('a check did not get to its end', { check, code, checked });
    return outcome('UNFINISHED', code);
  }
}

function describe(outcomes: readonly CheckOutcome[], next = ''): string {
  const lines = outcomes.map(
    ({ check, state, checked, faultCount, faults, code }) =>
      `- ${check}: **${state}**${code === undefined ? '' : ` \`${code}\``}, ${checked} checked, ${faultCount} faults${faults.map((fault) => `\n  - ${fault}`).join('')}`,
  );
  return `Checks:\n${lines.join('\n')}${next}`;
}
