import type { Logger } from 'pino';
import { Counter, Gauge, Histogram } from 'prom-client';
import type { TsaAttempt, TsaPool } from '../activities/timestamping/tsa-pool.ts';

/** A token so far from our clock is still good (60 s are allowed), but one of the two clocks needs somebody. */
const DRIFT_MS = 5_000;

const attempts = new Counter({
  name: 'proofline_tsa_attempts_total',
  help: 'Requests to timestamp authorities, and requests spared, by outcome.',
  labelNames: ['tsa', 'outcome'],
});
const durations = new Histogram({
  name: 'proofline_tsa_request_duration_seconds',
  help: 'Time of a request to a timestamp authority with its verification.',
  labelNames: ['tsa'],
  buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
});
const drifts = new Gauge({
  name: 'proofline_tsa_drift_seconds',
  help: "The time of the authority's last token minus ours.",
  labelNames: ['tsa'],
});

const spread = new Gauge({
  name: 'proofline_tsa_spread_seconds',
  help: 'Largest difference between the clocks of two timestamp authorities when they were last compared.',
});

/** Publishes how far the clocks of all authorities are apart, and warns when that is more than a clock may be. */
export async function compareTsas(
  pool: Pick<TsaPool, 'compareClocks'>,
  logger: Logger,
  signal?: AbortSignal,
): Promise<void> {
  const readings = await pool.compareClocks(signal);
  const drifts = readings.flatMap(({ driftMs }) => (driftMs === undefined ? [] : [driftMs]));
  if (drifts.length < 2) return;
  const spreadMs = Math.max(...drifts) - Math.min(...drifts);
  spread.set(spreadMs / 1000);
  if (spreadMs > DRIFT_MS)
    logger.warn({ event: 'tsa-clocks-differ', spreadMs, readings }, 'the clocks of timestamp authorities differ');
}

/** Counts what the pool of authorities tells, and warns of bad tokens, refusals, and once of each drift that begins. */
export function watchTsas(logger: Logger): (attempt: TsaAttempt) => void {
  const drifting = new Set<string>();
  return ({ tsa, outcome, detail, durationMs, driftMs }) => {
    attempts.inc({ tsa, outcome });
    if (outcome.startsWith('skipped-')) return;
    durations.observe({ tsa }, durationMs / 1000);
    if (outcome !== 'stamped') logger.warn({ tsa, outcome, detail }, 'a timestamp authority gave no good token');
    if (driftMs === undefined) return;
    drifts.set({ tsa }, driftMs / 1000);
    if (Math.abs(driftMs) <= DRIFT_MS) drifting.delete(tsa);
    else if (!drifting.has(tsa)) {
      drifting.add(tsa);
      logger.warn({ event: 'tsa-clock-drift', tsa, driftMs }, "our clock and a timestamp authority's drift apart");
    }
  };
}
