/** The worker of the bare workflow, with the settings of ours (`workers/start-workers.ts`); says `ready` once it polls. */
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, NativeConnection, Runtime, Worker } from '@temporalio/worker';

const silent = () => undefined;
const logger = { log: silent, trace: silent, debug: silent, info: silent, warn: silent, error: silent };
Runtime.install({ logger });
const connection = await NativeConnection.connect({ address: process.argv[2] ?? '' });
const workflowBundle = await bundleWorkflowCode({
  workflowsPath: fileURLToPath(new URL('./bare-definition.ts', import.meta.url)),
  logger,
});
const workflows = await Worker.create({
  connection,
  taskQueue: 'bench.workflows',
  workflowBundle,
  maxCachedWorkflows: 600,
  workflowTaskPollerBehavior: { type: 'autoscaling' },
});
const activities = await Worker.create({
  connection,
  taskQueue: 'bench.signer',
  activities: { first: async () => undefined, second: async () => undefined },
  maxConcurrentActivityTaskExecutions: 16,
});
process.once('SIGTERM', () => {
  for (const worker of [workflows, activities]) worker.shutdown();
});
const running = Promise.all([workflows.run(), activities.run()]);
process.stdout.write('ready\n');
await running;
await connection.close();
process.exit(0);
