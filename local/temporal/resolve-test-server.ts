/**
 * Finds the time-skipping test server (Java), once per user: the cache, else its Maven artifacts. It needs Java ≥ 17.
 * Where neither can be had there is no server: its tests are skipped, loudly.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../stack/run-command.ts';
import { cacheEntry, userCacheDir } from './user-cache.ts';

const POM = fileURLToPath(new URL('./build/test-server.pom.xml', import.meta.url));
const MAVEN_PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';
const OLDEST_JAVA = 17;
const FETCH_MS = 300_000;

export interface TestServerProgram {
  readonly java: string;
  /** Class path of the server. */
  readonly classPath: string;
}

export interface ResolveTestServerOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cacheDir?: string;
  readonly onProgress?: (line: string) => void;
}

/** The program, or the reason why there is none. Cold: some 15 s and 33 MB. */
export async function resolveTestServer(
  options: ResolveTestServerOptions = {},
): Promise<TestServerProgram | { readonly missing: string }> {
  const env = options.env ?? process.env;
  const java = env.JAVA_HOME === undefined || env.JAVA_HOME === '' ? 'java' : join(env.JAVA_HOME, 'bin', 'java');
  try {
    await requireJava(java);
    const version =
      /<version>([0-9.]+)<\/version>\s*<\/dependency>/.exec(await readFile(POM, 'utf8'))?.[1] ?? 'unknown';
    const dir = await cacheEntry(
      options.cacheDir ?? userCacheDir(env),
      `temporal-test-server-${version}`,
      async (into) => {
        options.onProgress?.('getting the time-skipping Temporal test server (33 MB, once per user)');
        const maven = [
          '-q',
          '-B',
          '-f',
          POM,
          MAVEN_PLUGIN,
          '-DincludeScope=runtime',
          `-DoutputDirectory=${join(into, 'lib')}`,
        ];
        const { code, output } = await runCommand('mvn', maven, { timeoutMs: FETCH_MS });
        if (code !== 0) throw new Error(`mvn ended with ${code}: ${output.slice(-300)}`);
      },
    );
    return { java, classPath: join(dir, 'lib', '*') };
  } catch (fault) {
    return { missing: fault instanceof Error ? fault.message : String(fault) };
  }
}

async function requireJava(java: string): Promise<void> {
  const { output } = await runCommand(java, ['-version'], { timeoutMs: 20_000 });
  const major = Number(/version "(\d+)/.exec(output)?.[1] ?? 0);
  if (major < OLDEST_JAVA)
    throw new Error(`Java ≥ ${OLDEST_JAVA} is needed, ${java} is ${major === 0 ? 'no Java' : major}`);
}
