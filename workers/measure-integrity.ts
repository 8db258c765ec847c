import { Gauge } from 'prom-client';
import { type IntegrityStanding, readIntegrity } from '../store/integrity-results.ts';
import type { Queryable } from '../store/pool.ts';

const labelNames = ['check'];
const faults = new Gauge({
  name: 'proofline_integrity_faults',
  help: 'Faults that the newest run of a nightly check found. Anything but 0: runbooks/integrity.md.',
  labelNames,
});
const finished = new Gauge({
  name: 'proofline_integrity_finished_timestamp_seconds',
  help: 'When the newest run of a nightly check ended, however it did.',
  labelNames,
});
const passed = new Gauge({
  name: 'proofline_integrity_passed_timestamp_seconds',
  help: 'When a nightly check last passed; 0 if it never did.',
  labelNames,
});

/** Shows how each nightly check stands. From Postgres, so that it outlives the process that checked. */
export async function measureIntegrity(db: Queryable): Promise<readonly IntegrityStanding[]> {
  const standings = await readIntegrity(db);
  for (const { check, faultCount, finishedAt, passedAt } of standings) {
    faults.set({ check }, faultCount);
    finished.set({ check }, Date.parse(finishedAt) / 1000);
    passed.set({ check }, passedAt === null ? 0 : Date.parse(passedAt) / 1000);
  }
  return standings;
}
