/**
 * Finds the Temporal CLI, once per user: TEMPORAL_CLI_PATH; `temporal` on PATH with a server new enough; the user's
 * cache; the vendor's archive; `go build`. The last two fill the cache.
 */
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { runCommand } from '../stack/run-command.ts';
import { buildCli } from './build-cli.ts';
import { downloadCli } from './download-cli.ts';
import { CLI_VERSION, hasServerNewEnough, OLDEST_SERVER } from './release.ts';
import { cacheEntry, userCacheDir } from './user-cache.ts';

export interface ResolveCliOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cacheDir?: string;
  readonly onProgress?: (line: string) => void;
  readonly download?: typeof downloadCli;
  readonly build?: typeof buildCli;
}

/** The path of a `temporal` program whose server is new enough. Throws naming the four ways out when there is none. */
export async function resolveTemporalCli(options: ResolveCliOptions = {}): Promise<string> {
  const env = options.env ?? process.env;
  const say = options.onProgress ?? (() => {});
  const named = env.TEMPORAL_CLI_PATH;
  if (named !== undefined && named !== '') {
    const version = await serverOf(named);
    if (!hasServerNewEnough(version)) {
      throw new Error(
        `TEMPORAL_CLI_PATH=${named} has no server ≥ ${OLDEST_SERVER}: ${version.trim() || 'not a program'}`,
      );
    }
    return named;
  }
  const onPath = await findOnPath('temporal', env.PATH ?? '');
  if (onPath !== undefined && hasServerNewEnough(await serverOf(onPath))) return onPath;

  const reasons: string[] = [];
  const cacheDir = options.cacheDir ?? userCacheDir(env);
  const entry = `temporal-cli-${CLI_VERSION}-${process.platform}-${process.arch}`;
  const make = async (into: string): Promise<void> => {
    try {
      await (options.download ?? downloadCli)(into, say);
      return;
    } catch (fault) {
      reasons.push(`download: ${messageOf(fault)}`);
    }
    await (options.build ?? buildCli)(into, say);
  };
  try {
    const dir = await cacheEntry(cacheDir, entry, make, (pid) =>
      say(`waiting for process ${pid}, which is getting the Temporal server`),
    );
    return join(dir, 'temporal');
  } catch (fault) {
    reasons.push(`Go build: ${messageOf(fault)}`);
    throw new Error(waysOut(reasons, join(cacheDir, entry, 'temporal')), { cause: fault });
  }
}

function waysOut(reasons: readonly string[], cached: string): string {
  return [
    `No Temporal server (≥ ${OLDEST_SERVER}) could be had. Any one of these helps:`,
    '  1. set TEMPORAL_CLI_PATH to a temporal program you have;',
    `  2. put temporal (CLI ${CLI_VERSION} or newer) on PATH, or at ${cached};`,
    '  3. let this machine reach https://github.com, from where the release is fetched;',
    '  4. install Go ≥ 1.26.4 and let it reach a Go module proxy (GOPROXY), to build it.',
    'What was tried:',
    ...reasons.map((reason) => `  - ${reason}`),
  ].join('\n');
}

async function serverOf(path: string): Promise<string> {
  return (await runCommand(path, ['--version'], { timeoutMs: 20_000 })).output;
}

async function findOnPath(name: string, path: string): Promise<string | undefined> {
  for (const dir of path.split(delimiter)) {
    if (dir === '') continue;
    const candidate = join(dir, name);
    try {
      await access(candidate, constants.X_OK);
      return candidate;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

function messageOf(fault: unknown): string {
  return fault instanceof Error ? fault.message : String(fault);
}
