/**
 * Finds Temporal's time-skipping test server, a Java program, for tests of workflows that wait for weeks: the user's
 * cache, else Maven fills it once (39 archives, 33 MB, pinned in time-skipping/pom.xml, checksums enforced).
 */
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../stack/run-command.ts';
import { cacheEntry, userCacheDir } from './user-cache.ts';

export const TEST_SERVER_VERSION = '1.31.0';
const OLDEST_JAVA = 17;
const POM = fileURLToPath(new URL('./time-skipping/pom.xml', import.meta.url));
const FETCH_TIMEOUT_MS = 10 * 60_000;

/** Found: the program to run as `existing-path`. Not found: why, for the line that a skipped test prints. */
export type TimeSkippingServer = { readonly path: string } | { readonly unavailable: string };

export async function resolveTimeSkipping(
  options: { readonly cacheDir?: string; readonly onProgress?: (line: string) => void } = {},
): Promise<TimeSkippingServer> {
  const java = await runCommand('java', ['-version'], { timeoutMs: 20_000 });
  const major = Number(/version "(\d+)/.exec(java.output)?.[1] ?? 0);
  if (major < OLDEST_JAVA) {
    return { unavailable: `Java ≥ ${OLDEST_JAVA} is needed, ${major === 0 ? 'there is none' : `there is ${major}`}` };
  }
  try {
    const dir = await cacheEntry(
      options.cacheDir ?? userCacheDir(),
      `temporal-test-server-${TEST_SERVER_VERSION}`,
      (into) => fetchWithMaven(into, options.onProgress ?? (() => {})),
    );
    return { path: join(dir, 'time-skipping-server') };
  } catch (fault) {
    return { unavailable: fault instanceof Error ? fault.message : String(fault) };
  }
}

async function fetchWithMaven(into: string, onProgress: (line: string) => void): Promise<void> {
  onProgress('fetching the time-skipping test server with Maven, once per user');
  const args = ['-q', '-B', '-C', '-f', POM, 'dependency:copy-dependencies', `-DoutputDirectory=${join(into, 'lib')}`];
  const fetched = await runCommand('mvn', args, { timeoutMs: FETCH_TIMEOUT_MS });
  if (fetched.code === null) throw new Error('Maven is needed to fetch it, and mvn is not on PATH');
  if (fetched.code !== 0) throw new Error(`mvn failed: ${fetched.output.trim().split('\n').slice(-3).join(' | ')}`);
  const launcher = join(into, 'time-skipping-server');
  // Few heap pages and no second compiler: the SDK gives it five seconds to answer.
  const java =
    'exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$here/lib/*" io.temporal.testserver.TestServer "$@"';
  await writeFile(launcher, `#!/bin/sh\nhere=$(dirname "$0")\n${java}\n`);
  await chmod(launcher, 0o755);
}
