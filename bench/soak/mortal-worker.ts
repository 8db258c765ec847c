/**
 * A worker that dies at a given step: before or after a query, a statement of a transaction, a call of the ledger. What
 * it had in memory is gone; what Postgres had not committed is rolled back, as when its connection breaks.
 */
import { createLedgerActivities, type LedgerActivities } from '../../activities/ledger/anchor-activities.ts';
import type { AnchorLedger } from '../../activities/ledger/anchor-ledger.ts';
import type { Clock } from '../../domain/clock.ts';
import type { Db } from '../../store/pool.ts';

export class WorkerDied extends Error {}

export interface Death {
  /** Counted from 1 over queries, statements and calls. */
  readonly atStep: number;
  readonly when: 'before' | 'after';
}

export interface MortalWorker {
  readonly activities: LedgerActivities;
  isDead(): boolean;
}

export function startMortalWorker(deps: {
  readonly db: Db;
  readonly ledger: AnchorLedger;
  readonly clock: Clock;
  readonly sleep: (ms: number) => Promise<void>;
  readonly death: Death | undefined;
}): MortalWorker {
  const { death } = deps;
  let step = 0;
  let dead = false;
  const gate = async <T>(work: () => Promise<T>): Promise<T> => {
    step++;
    if (dead) throw new WorkerDied('it was dead already');
    const isLast = step === death?.atStep;
    if (isLast) dead = true;
    if (isLast && death.when === 'before') throw new WorkerDied(`before step ${step}`);
    const result = await work();
    if (isLast) throw new WorkerDied(`after step ${step}`);
    return result;
  };
  return {
    activities: createLedgerActivities({
      db: mortal(deps.db, gate),
      ledger: watch(
        deps.ledger,
        ['prepare', 'submit', 'receipt', 'lookUp', 'confirm', 'confirmWithout', 'provenAbsent'],
        gate,
      ),
      clock: deps.clock,
      sleep: deps.sleep,
      heartbeat: () => undefined,
      advanceEvidence: async () => false,
    }),
    isDead: () => dead,
  };
}

type Gate = <T>(work: () => Promise<T>) => Promise<T>;

function mortal(db: Db, gate: Gate): Db {
  const connect = db.connect.bind(db) as () => Promise<object>;
  return new Proxy(watch(db, ['query'], gate), {
    get(target, property) {
      if (property !== 'connect') return bound(target, property);
      return async () => watch(await connect(), ['query'], gate);
    },
  });
}

/** Passes the named methods through the gate. A rollback always works: it is what the server does by itself. */
function watch<T extends object>(subject: T, methods: readonly string[], gate: Gate): T {
  return new Proxy(subject, {
    get(target, property) {
      const value = bound(target, property);
      if (typeof value !== 'function' || !methods.includes(String(property))) return value;
      return (...args: unknown[]) =>
        /^\s*ROLLBACK/i.test(String(args[0])) ? value(...args) : gate(async () => value(...args));
    },
  });
}

function bound(target: object, property: string | symbol): unknown {
  const value = Reflect.get(target, property) as unknown;
  return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
}
