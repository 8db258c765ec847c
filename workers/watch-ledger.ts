/**
 * Looks after the ledger for the pool that anchors: whether its setup is right (while it is not, nothing is sent for the
 * first time), how far mirrors lag, how long the payer's account lasts, what an anchor costs each proof.
 */
import type { Logger } from 'pino';
import { Counter, Gauge, Histogram } from 'prom-client';
import type { AnchorLedger } from '../activities/ledger/anchor-ledger.ts';
import type { AnchorOutcome } from '../activities/ledger/anchor-step.ts';
import type { SetupReport } from '../activities/ledger/check-setup.ts';
import { payerRunwayDays } from '../activities/ledger/payer-runway.ts';
import { type Clock, toMicros } from '../domain/clock.ts';
import { ProoflineError } from '../domain/errors.ts';
import { readAnchorFigures } from '../store/anchor-costs.ts';
import type { Db } from '../store/pool.ts';
import { startLoop } from './loop.ts';

const EVERY_MS = 30_000;
const DAY_MS = 86_400_000;

const setupState = new Gauge({
  name: 'proofline_ledger_setup',
  help: '1 for the state that the setup of the ledger is in: ok, refused (nothing is sent), unreachable (nothing is known).',
  labelNames: ['state'],
});
const mirrorLag = new Gauge({
  name: 'proofline_ledger_mirror_lag_seconds',
  help: 'Our clock minus the end of the newest block of a mirror; absent while it does not answer.',
  labelNames: ['mirror'],
});
const payerTinybars = new Gauge({ name: 'proofline_ledger_payer_tinybars', help: 'What the payer holds.' });
const runwayDays = new Gauge({
  name: 'proofline_ledger_payer_runway_days',
  help: 'Days until the payer is empty at the pace of the last 24 hours.',
});
const dayAnchors = new Gauge({ name: 'proofline_anchors_last_day', help: 'Anchors that came to stand in 24 hours.' });
const perAnchor = new Gauge({
  name: 'proofline_anchor_tinybars',
  help: 'What an anchor cost, mean of the last 24 hours.',
});
const perProof = new Gauge({
  name: 'proofline_anchor_tinybars_per_proof',
  help: 'What anchoring cost each proof, mean of the last 24 hours.',
});
const waits = new Gauge({
  name: 'proofline_anchor_oldest_wait_seconds',
  help: 'How long the oldest batch that wants an anchor has waited since its seal.',
});
const outcomes = new Counter({
  name: 'proofline_anchor_steps_total',
  help: 'Steps of anchors by what came of them, and the word of the network.',
  labelNames: ['state', 'status'],
});
const durations = new Histogram({
  name: 'proofline_anchor_duration_seconds',
  help: 'From submission to consensus, and from consensus to agreement of the mirrors.',
  labelNames: ['to'],
  buckets: [0.5, 1, 2, 3, 5, 8, 13, 20, 30, 60, 120, 300, 900],
});

export interface LedgerWatch {
  /** Throws LEDGER_SETUP_INVALID with every fault while there are any. */
  requireSetup(): void;
  count(outcome: AnchorOutcome): void;
  stop(): Promise<void>;
}

export interface LedgerWatchDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly origin: string;
  readonly ledger: Pick<AnchorLedger, 'health'>;
  readonly maxFeeTinybars: string;
  readonly checkSetup: () => Promise<SetupReport>;
}

/** Looks once before it returns, then every half minute. Never throws for what the ledger does. */
export async function watchLedger(deps: LedgerWatchDeps): Promise<LedgerWatch> {
  let report = await look(deps, undefined);
  const loop = startLoop({
    everyMs: EVERY_MS,
    onError: (err) => deps.logger.warn({ err }, 'the ledger could not be looked at'),
    async turn() {
      await measure(deps);
      report = await look(deps, report);
    },
  });
  return {
    requireSetup() {
      if (report.state === 'refused') throw new ProoflineError('LEDGER_SETUP_INVALID', report.faults.join('; '));
    },
    count({ state, status, consensusMs, confirmedMs }) {
      outcomes.inc({ state, status: status ?? '' });
      if (consensusMs !== undefined) durations.observe({ to: 'consensus' }, consensusMs / 1_000);
      if (confirmedMs !== undefined) durations.observe({ to: 'agreement' }, confirmedMs / 1_000);
    },
    stop: () => loop.stop(),
  };
}

async function look({ checkSetup, logger }: LedgerWatchDeps, last: SetupReport | undefined): Promise<SetupReport> {
  const report = await checkSetup();
  for (const state of ['ok', 'refused', 'unreachable'] as const)
    setupState.set({ state }, report.state === state ? 1 : 0);
  if (JSON.stringify(report) === JSON.stringify(last)) return report;
  const { state, faults, open } = report;
  if (state === 'refused')
    logger.error(
      { event: 'ledger-setup-refused', faults },
      'the setup of the ledger is wrong; nothing is sent until it is right',
    );
  else if (state === 'unreachable')
    logger.warn({ event: 'ledger-unreachable', open }, 'nobody tells whether the setup of the ledger is right');
  else logger.info({ event: 'ledger-setup-ok', open }, 'the setup of the ledger is right');
  return report;
}

async function measure({ db, clock, origin, ledger, maxFeeTinybars }: LedgerWatchDeps): Promise<void> {
  const since = toMicros(BigInt(clock.nowMs() - DAY_MS) * 1_000n);
  const figures = await readAnchorFigures(db, origin, since);
  const { anchors, feeTinybars, newLeaves, waitsSince } = figures;
  dayAnchors.set(anchors);
  if (anchors > 0) perAnchor.set(Number(feeTinybars) / anchors);
  if (newLeaves > 0n) perProof.set(Number(feeTinybars) / Number(newLeaves));
  waits.set(waitsSince === null ? 0 : Math.max(0, (clock.nowMs() - Date.parse(waitsSince)) / 1_000));
  const { mirrors, payerTinybars: balance } = await ledger.health();
  for (const { mirror, lagMs } of mirrors)
    if (lagMs === undefined) mirrorLag.remove({ mirror });
    else mirrorLag.set({ mirror }, lagMs / 1_000);
  if (balance === undefined) return;
  payerTinybars.set(Number(balance));
  runwayDays.set(payerRunwayDays(BigInt(balance), figures, BigInt(maxFeeTinybars)));
}
