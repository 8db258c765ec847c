import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, type WorkflowBundle } from '@temporalio/worker';
import type { Logger } from 'pino';

/** Bundles the workflows from source: about 3 s cold. */
export function bundleWorkflows(logger?: Logger): Promise<WorkflowBundle> {
  const silent = () => undefined;
  return bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('../workflows/index.ts', import.meta.url)),
    logger: {
      log: silent,
      trace: silent,
      debug: silent,
      info: silent,
      warn: (message) => logger?.warn(message),
      error: (message) => logger?.error(message),
    },
  });
}
