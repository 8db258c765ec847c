/** The alarm of a log that stopped for good: a loop that waits for an operator pages nobody by itself. */
import type { Clock } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { workflowIds } from '../../domain/ids.ts';
import { type AlarmKind, endAlarms, raiseAlarm } from '../../store/alarms.ts';
import type { Db } from '../../store/pool.ts';

export interface LogAlarmDeps {
  readonly db: Db;
  readonly origin: string;
  readonly clock: Clock;
  readonly logger: { warn(facts: object, message: string): void };
}

const KINDS: ReadonlyMap<string, AlarmKind> = new Map([
  ['LOG_ROLLBACK', 'log.rollback'],
  ['LOG_CORRUPT', 'log.corrupt'],
]);
/**
 * Raises `log.rollback` or `log.corrupt` if that is what stopped the log; nothing for any other error. Never throws:
 * the error itself must reach Temporal. Key (kind, origin): each repeat finds the
 * alarm open. Its subject is the id of the workflow that waits.
 */
export async function raiseLogAlarm({ db, origin, clock, logger }: LogAlarmDeps, error: unknown): Promise<void> {
  const kind = error instanceof ProoflineError ? KINDS.get(error.code) : undefined;
  if (kind === undefined) return;
  const { detail: text } = error as ProoflineError;
  await raiseAlarm(db, { kind, subject: workflowIds.runLog(origin), detail: { text }, at: clock.nowMicros() }).catch(
    (failure) => logger.warn({ err: failure, kind }, 'the alarm could not be raised'),
  );
}

/** Ends them: the log took a step from a head that nothing contradicts. */
export async function endLogAlarms({ db, origin, clock }: LogAlarmDeps): Promise<void> {
  await endAlarms(db, workflowIds.runLog(origin), clock.nowMicros());
}
