/**
 * Gets the judges: Debian's programs by apt-get where this runs as root, EU DSS and Bouncy Castle by Maven, pyHanko by pip; the
 * last two once per user, into the cache. What no registry answers for is named, and its tests are skipped, loudly.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../../local/stack/run-command.ts';
import { cacheEntry, userCacheDir } from '../../local/temporal/user-cache.ts';

const FETCH_TIMEOUT_MS = 8 * 60_000;
const OLDEST_JAVA = 17;
const PYHANKO = '0.38.0';
const POM = join(import.meta.dirname, 'java', 'pom.xml');

/** Debian's package of each program. */
const PACKAGES = {
  openssl: 'openssl',
  pdfsig: 'poppler-utils',
  mutool: 'mupdf-tools',
  qpdf: 'qpdf',
  javac: 'default-jdk-headless',
  mvn: 'maven',
  python3: 'python3',
} as const;
export type Program = keyof typeof PACKAGES;

export interface Provided {
  readonly programs: ReadonlySet<Program>;
  /** Folder of the Java archives. */
  readonly java: string | undefined;
  /** Folder of the Python packages. */
  readonly python: string | undefined;
  /** Why each missing judge is missing. */
  readonly missing: readonly string[];
}

/** Everything that can be had. Repeated calls find what the first one got. */
export async function provideJudges(tell: (line: string) => void = () => {}): Promise<Provided> {
  const missing: string[] = [];
  const programs = await providePrograms(tell, missing);
  const attempt = async (
    what: string,
    needs: readonly Program[],
    get: () => Promise<string>,
  ): Promise<string | undefined> => {
    const lacking = needs.filter((program) => !programs.has(program));
    if (lacking.length > 0) {
      missing.push(`${what}: ${lacking.join(', ')} is not here`);
      return undefined;
    }
    return get().catch((fault: unknown) => {
      missing.push(`${what}: ${fault instanceof Error ? fault.message : String(fault)}`);
      return undefined;
    });
  };
  return {
    programs,
    java: await attempt('EU DSS and Bouncy Castle', ['javac', 'mvn'], () => provideJava(tell)),
    python: await attempt('pyHanko', ['python3'], () => providePython(tell)),
    missing,
  };
}

async function providePrograms(tell: (line: string) => void, missing: string[]): Promise<Set<Program>> {
  const names = Object.keys(PACKAGES) as Program[];
  const found = await findPrograms(names);
  const absent = names.filter((name) => !found.has(name));
  if (absent.length > 0 && process.getuid?.() === 0) {
    tell(`installing ${absent.join(', ')} with apt-get, once per machine`);
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const apt = (...args: string[]) =>
      runCommand('apt-get', ['-q', '-y', ...args], { timeoutMs: FETCH_TIMEOUT_MS, env });
    await apt('update');
    await apt('install', '--no-install-recommends', ...absent.map((name) => PACKAGES[name]));
    for (const name of await findPrograms(absent)) found.add(name);
  }
  const lacking = names.filter((name) => !found.has(name));
  if (lacking.length > 0) missing.push(`${lacking.join(', ')}: not installed, and apt-get did not bring them`);
  return found;
}

async function findPrograms(names: readonly Program[]): Promise<Set<Program>> {
  const found = new Set<Program>();
  for (const name of names) {
    const { code } = await runCommand('sh', ['-c', `command -v ${name}`], { timeoutMs: 10_000 });
    if (code === 0) found.add(name);
  }
  return found;
}

async function provideJava(tell: (line: string) => void): Promise<string> {
  const version = await runCommand('javac', ['-version'], { timeoutMs: 30_000 });
  const major = Number(/javac (\d+)/.exec(version.output)?.[1] ?? 0);
  if (major < OLDEST_JAVA) throw new Error(`Java ≥ ${OLDEST_JAVA} is needed, there is ${major}`);
  const pin = createHash('sha256')
    .update(await readFile(POM))
    .digest('hex')
    .slice(0, 12);
  return cacheEntry(userCacheDir(), `judges-java-${pin}`, async (into) => {
    tell('fetching EU DSS, Bouncy Castle and veraPDF with Maven, once per user');
    const args = ['-q', '-B', '-C', '-f', POM, 'dependency:copy-dependencies', `-DoutputDirectory=${into}`];
    refuseFailure('mvn', await runCommand('mvn', args, { timeoutMs: FETCH_TIMEOUT_MS }));
  });
}

async function providePython(tell: (line: string) => void): Promise<string> {
  const version = await runCommand('python3', ['-c', 'import sys; print("%d.%d" % sys.version_info[:2])'], {
    timeoutMs: 30_000,
  });
  return cacheEntry(userCacheDir(), `judges-python-${PYHANKO}-${version.output.trim()}`, async (into) => {
    tell('fetching pyHanko with pip, once per user');
    const pip = (target: string) =>
      runCommand(
        'python3',
        ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', '--target', target, `pyhanko==${PYHANKO}`],
        {
          timeoutMs: FETCH_TIMEOUT_MS,
        },
      );
    let done = await pip(into);
    if (done.code !== 0 && /No module named pip/.test(done.output) && process.getuid?.() === 0) {
      await runCommand('apt-get', ['-q', '-y', 'install', '--no-install-recommends', 'python3-pip'], {
        timeoutMs: FETCH_TIMEOUT_MS,
        env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      });
      done = await pip(into);
    }
    refuseFailure('pip', done);
  });
}

function refuseFailure(
  what: string,
  { code, output }: { readonly code: number | null; readonly output: string },
): void {
  if (code !== 0) throw new Error(`${what} failed: ${output.trim().split('\n').slice(-3).join(' | ')}`);
}
