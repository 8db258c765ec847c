/** The activity around the integrator's loop. */
import { Context } from '@temporalio/activity';
import { type IntegrationDeps, type IntegrationReport, runIntegration } from './run-integration.ts';

export interface IntegrateLogInput {
  /** Ends by itself after this long, so that the workflow's history stays short; an hour unless told. */
  readonly runForMs?: number;
}

const RUN_FOR_MS = 3_600_000;

export interface IntegrationActivityDeps extends IntegrationDeps {
  /** Aborted when the process stops: the SDK tells activities only at the end of the grace time. */
  readonly stopping?: AbortSignal;
}

export const createIntegration = (deps: IntegrationActivityDeps) => ({
  /**
   * Integrates leaves, signs and publishes checkpoints, closes anchor windows, until cancelled or `runForMs` is over.
   * Key (origin): a repeat goes on where the last run stopped. Heartbeats every second. Throws LOG_ROLLBACK and
   * LOG_CORRUPT for good, STORE_* and SIGNER_* when they last.
   */
  async integrateLog(input: IntegrateLogInput = {}): Promise<IntegrationReport> {
    const context = Context.current();
    const report = await runIntegration(deps, {
      signal: AbortSignal.any([context.cancellationSignal, ...(deps.stopping === undefined ? [] : [deps.stopping])]),
      heartbeat: (details) => context.heartbeat(details),
      runForMs: input.runForMs ?? RUN_FOR_MS,
    });
    // Cancelled: said so. A run that ends because the process stops is started anew by the workflow, elsewhere.
    if (context.cancellationSignal.aborted) await context.cancelled;
    return report;
  },
});

export type IntegrationActivities = ReturnType<typeof createIntegration>;
