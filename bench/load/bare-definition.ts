import { proxyActivities } from '@temporalio/workflow';

const { first, second } = proxyActivities<{ first(): Promise<void>; second(): Promise<void> }>({
  taskQueue: 'bench.signer',
  startToCloseTimeout: '2 minutes',
});

/** As little as a workflow with two steps can do. */
export async function bare(): Promise<void> {
  await first();
  await second();
}
