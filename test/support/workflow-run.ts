import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { NativeConnection, Runtime, Worker, type WorkflowBundle } from '@temporalio/worker';
import { bundleWorkflows } from '../../workers/bundle.ts';
import { translateErrors } from '../../workers/translate-errors.ts';
import { POLICIES, type Pool } from '../../workflows/policies.ts';
import { temporalForTest } from './temporal.ts';
import { until } from './until.ts';

// biome-ignore lint/suspicious/noExplicitAny: what Worker.create takes
export type StandIns = Record<string, (...args: any[]) => Promise<unknown>>;

export interface WorkflowTest {
  readonly client: Client;
  /** The queue to start workflows on. */
  readonly workflowQueue: string;
  /** Runs `work` while workers run the workflows and these activities, each on the queue that policies.ts gives it. */
  run<T>(activities: StandIns, work: () => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

let bundle: Promise<WorkflowBundle> | undefined;
let isQuiet = false;

/** Keeps the SDK's log out of the tests' output. Before anything else of the SDK's worker in a file. */
export function quietRuntime(): void {
  if (isQuiet) return;
  Runtime.install({ logger: { log() {}, trace() {}, debug() {}, info() {}, warn() {}, error() {} } });
  isQuiet = true;
}

/** Workflow tests on a real server: the run's dev server unless another address is given. */
export async function createWorkflowTest(server?: {
  readonly address: string;
  readonly namespace: string;
}): Promise<WorkflowTest> {
  quietRuntime();
  const own = temporalForTest();
  const { address, namespace } = server ?? own;
  const prefix = `${own.taskQueue}.`;
  const connection = await NativeConnection.connect({ address });
  const clientConnection = await Connection.connect({ address });
  bundle ??= bundleWorkflows();
  return {
    client: new Client({ connection: clientConnection, namespace }),
    workflowQueue: `${prefix}workflows`,
    async run(activities, work) {
      const pools = new Set<Pool>(
        Object.entries(POLICIES).flatMap(([name, { pool }]) => (name in activities ? [pool] : [])),
      );
      const shared = { connection, namespace, interceptors: { activity: [() => ({ inbound: translateErrors })] } };
      const workers = await Promise.all([
        Worker.create({
          ...shared,
          taskQueue: `${prefix}workflows`,
          workflowBundle: await (bundle as Promise<WorkflowBundle>),
        }),
        ...[...pools].map((pool) => Worker.create({ ...shared, taskQueue: `${prefix}${pool}`, activities })),
      ]);
      const running = Promise.all(workers.map((worker) => worker.run()));
      try {
        return await work();
      } finally {
        for (const worker of workers) worker.shutdown();
        await running;
      }
    },
    async close() {
      await clientConnection.close();
      await connection.close();
    },
  };
}

/** Resolves once the run shows this failure code. */
export async function untilFailureCode(handle: WorkflowHandle, code: string): Promise<void> {
  const shown = async () => (await handle.describe()).searchAttributes.FailureCode?.[0];
  await until(shown, (seen) => seen === code);
}
