/** Bouncy Castle from Maven Central, kept in the user's cache: what it says of evidence records, all in one JVM. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../../local/stack/run-command.ts';
import { cacheEntry, userCacheDir } from '../../local/temporal/user-cache.ts';

const VERSION = '1.79';
const POM = fileURLToPath(new URL('./bouncy-castle/pom.xml', import.meta.url));
const JUDGE = fileURLToPath(new URL('./bouncy-castle/JudgeRecords.java', import.meta.url));
const FETCH_TIMEOUT_MS = 5 * 60_000;

export interface RecordCase {
  readonly record: Uint8Array;
  readonly data: Uint8Array;
  /** DER. */
  readonly roots: readonly Uint8Array[];
}

/** Its folder of archives; undefined, said loudly, where there is no JDK ≥ 17, or neither a cache nor Maven. */
export async function resolveBouncyCastle(): Promise<string | undefined> {
  const javac = await runCommand('javac', ['-version'], { timeoutMs: 20_000 });
  const major = Number(/javac (\d+)/.exec(javac.output)?.[1] ?? 0);
  try {
    if (major < 17) throw new Error(`a JDK ≥ 17 is needed, ${major === 0 ? 'there is none' : `there is ${major}`}`);
    const dir = await cacheEntry(userCacheDir(), `bouncy-castle-${VERSION}`, async (into) => {
      process.stderr.write('fetching Bouncy Castle with Maven, once per user\n');
      const out = `-DoutputDirectory=${join(into, 'lib')}`;
      const args = ['-q', '-B', '-C', '-f', POM, 'dependency:copy-dependencies', out];
      const fetched = await runCommand('mvn', args, { timeoutMs: FETCH_TIMEOUT_MS });
      if (fetched.code !== 0)
        throw new Error(`mvn: ${fetched.output.trim().split('\n').slice(-3).join(' | ') || 'none'}`);
    });
    return join(dir, 'lib');
  } catch (fault) {
    process.stderr.write(`\nSKIPPED: Bouncy Castle as a judge. ${fault instanceof Error ? fault.message : fault}\n\n`);
    return undefined;
  }
}

/** Per name `accepted <number of timestamps>` or `refused <why>`. */
export async function judgeRecords(
  lib: string,
  cases: Readonly<Record<string, RecordCase>>,
): Promise<Readonly<Record<string, string>>> {
  const dir = await mkdtemp(join(tmpdir(), 'proofline-records-'));
  try {
    for (const [name, { record, data, roots }] of Object.entries(cases)) {
      await writeFile(join(dir, `${name}.ers`), record);
      await writeFile(join(dir, `${name}.data`), data);
      for (const [i, root] of roots.entries()) await writeFile(join(dir, `${name}.root.${i}`), root);
    }
    await writeFile(join(dir, 'names'), Object.keys(cases).join('\n'));
    const args = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', join(lib, '*'), JUDGE, dir];
    const { code, output } = await runCommand('java', args, { timeoutMs: 120_000 });
    if (code !== 0) throw new Error(`java exited ${code}: ${output.slice(-2_000)}`);
    const lines = output.split('\n').flatMap((line) => {
      const [name, said] = line.split('\t');
      return name === undefined || said === undefined ? [] : [[name, said] as const];
    });
    return Object.fromEntries(lines);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
