import { proxyActivities, workflowInfo } from '@temporalio/workflow';
import { type ActivityName, type ActivityPolicy, POLICIES, type Pool } from './policies.ts';

type AnyActivity = (input: never) => Promise<unknown>;

/** The task queue of a pool beside the workflow's own: `workflows` → `signer`, `x.workflows` → `x.signer`. */
export function queueBeside(workflowQueue: string, pool: Pool): string {
  const dot = workflowQueue.lastIndexOf('.');
  return `${workflowQueue.slice(0, dot + 1)}${pool}`;
}

/** One activity with its options from `policies.ts`. Call inside a workflow: the queue depends on the run. */
export function activity<T extends AnyActivity>(name: ActivityName, summary?: string): T {
  const policy: ActivityPolicy = POLICIES[name];
  const proxies = proxyActivities<Record<string, AnyActivity>>({
    taskQueue: queueBeside(workflowInfo().taskQueue, policy.pool),
    startToCloseTimeout: policy.startToCloseMs,
    ...(policy.heartbeatMs !== undefined && { heartbeatTimeout: policy.heartbeatMs }),
    retry: {
      initialInterval: policy.firstRetryMs,
      backoffCoefficient: 2,
      maximumInterval: policy.maxRetryMs,
      ...(policy.attempts !== 'unlimited' && { maximumAttempts: policy.attempts }),
    },
    ...(summary !== undefined && { summary }),
    // Set-based steps leave nothing half done, but a cancelled run should know how they ended.
    cancellationType: 'WAIT_CANCELLATION_COMPLETED',
  });
  return proxies[name] as unknown as T;
}
