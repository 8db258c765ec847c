import { TestWorkflowEnvironment } from '@temporalio/testing';
import { resolveTimeSkipping } from '../../local/temporal/resolve-time-skipping.ts';
import { INDEXED_VALUE_TYPES } from '../../temporal-config/apply.ts';
import { readSearchAttributes } from '../../temporal-config/search-attributes.ts';
import { quietRuntime } from './workflow-run.ts';

const ATTEMPTS = 6;

/**
 * A server of its own on which workflows' timers take no time; undefined, said loudly, where it cannot be had (no Java
 * ≥ 17, or neither a cache nor Maven). Its time is one for all workflows: use it serially, and tear it down.
 */
export async function createTimeSkipping(): Promise<TestWorkflowEnvironment | undefined> {
  const found = await resolveTimeSkipping({ onProgress: (line) => process.stderr.write(`${line}\n`) });
  if ('unavailable' in found) {
    process.stderr.write(`\nSKIPPED: tests on the time-skipping server. ${found.unavailable}\n\n`);
    return undefined;
  }
  quietRuntime();
  const environment = await start(found.path);
  const declared = Object.entries(readSearchAttributes());
  // This server can add search attributes, and cannot list them.
  await environment.connection.operatorService.addSearchAttributes({
    searchAttributes: Object.fromEntries(declared.map(([name, type]) => [name, INDEXED_VALUE_TYPES[type]])),
  });
  return environment;
}

/** The SDK gives the server five seconds to answer, which a Java program on a busy machine may miss. */
async function start(path: string): Promise<TestWorkflowEnvironment> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await TestWorkflowEnvironment.createTimeSkipping({
        server: { executable: { type: 'existing-path', path } },
      });
    } catch (fault) {
      if (attempt === ATTEMPTS) throw fault;
    }
  }
}
