import { createHash } from 'node:crypto';
import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { bundleWorkflowCode, type WorkflowBundle } from '@temporalio/worker';
import type { Logger } from 'pino';

const ROOT = join(import.meta.dirname, '..');
/** Where the code of workflows comes from, beside the SDK. */
const ROOMS = ['workflows', 'domain'];

/**
 * Bundles the workflows from source: seconds on a busy machine. With `cacheFile` the last bundle is kept there and taken
 * again while no source has changed, so that a worker process that died is soon back.
 */
export async function bundleWorkflows(logger?: Logger, cacheFile?: string): Promise<WorkflowBundle> {
  if (cacheFile === undefined) return bundle(logger);
  const key = await hashSources();
  const kept = await readKept(cacheFile);
  if (kept?.key === key) return { code: kept.code };
  const { code } = await bundle(logger);
  // Whole or not at all: several processes may write the same.
  const temporary = `${cacheFile}.${process.pid}.tmp`;
  await writeFile(temporary, JSON.stringify({ key, code }));
  await rename(temporary, cacheFile);
  return { code };
}

function bundle(logger?: Logger): Promise<WorkflowBundle> {
  const silent = () => undefined;
  return bundleWorkflowCode({
    workflowsPath: join(ROOT, 'workflows', 'index.ts'),
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

async function readKept(file: string): Promise<{ readonly key: unknown; readonly code: string } | undefined> {
  try {
    const { key, code } = JSON.parse(await readFile(file, 'utf8')) as { key?: unknown; code?: unknown };
    return typeof code === 'string' ? { key, code } : undefined;
  } catch {
    return undefined;
  }
}

/** SHA-256 over the names and contents of the sources and the version of the SDK. */
async function hashSources(): Promise<string> {
  const hash = createHash('sha256').update(
    (createRequire(import.meta.url)('@temporalio/workflow/package.json') as { version: string }).version,
  );
  for (const room of ROOMS) {
    const names = await readdir(join(ROOT, room), { recursive: true });
    for (const name of names.filter((one) => one.endsWith('.ts') && !one.endsWith('.test.ts')).sort())
      hash.update(`\n${room}/${name}\n`).update(await readFile(join(ROOT, room, name)));
  }
  return hash.digest('hex');
}
