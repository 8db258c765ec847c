/**
 * `npm test`: every check of the repository, in the order of their cost; with names as arguments, those alone (`npm test
 * -- lint unit`). The last line is `N passed, N failed`, with `, N skipped` if any; the exit code is 1 on any failure.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const JEST = createRequire(import.meta.url).resolve('jest/bin/jest');
const NODE = ['--disable-warning=ExperimentalWarning'];

const CHECKS: Readonly<Record<string, () => Promise<Counts>>> = {
  lint: () => runCheck('npx', ['--no-install', 'biome', 'ci', '.']),
  arrows: () => runCheck(process.execPath, [...NODE, 'test/arrows.ts']),
  lock: () => runCheck(process.execPath, [...NODE, 'test/lock.ts']),
  types: () => runCheck('npx', ['--no-install', 'tsc', '--noEmit']),
  unit: () => runJest('unit', []),
  // One file at a time: each keeps a Java and a Python program busy.
  judges: () => runJest('judges', ['--runInBand']),
  integration: () => runJest('integration', []),
  // One whole system at a time: two of them on two cores would only wait for each other.
  'end-to-end': () => runJest('e2e', ['--runInBand']),
  chaos: () => runCheck(process.execPath, [...NODE, 'test/chaos/main.ts', '--seconds', '40', '--seed', '1']),
};

async function main(): Promise<void> {
  const asked = process.argv.slice(2);
  const unknown = asked.filter((name) => !Object.hasOwn(CHECKS, name));
  if (unknown.length > 0)
    throw new Error(`no check ${unknown.join(', ')}; there are ${Object.keys(CHECKS).join(', ')}`);
  const total = { passed: 0, failed: 0, skipped: 0 };
  const summary: string[] = [];
  for (const [name, check] of Object.entries(CHECKS)) {
    if (asked.length > 0 && !asked.includes(name)) continue;
    console.log(`\n── ${name}`);
    const began = Date.now();
    const counts = await check();
    total.passed += counts.passed;
    total.failed += counts.failed;
    total.skipped += counts.skipped;
    const seconds = ((Date.now() - began) / 1000).toFixed(1);
    summary.push(
      `${counts.failed === 0 ? 'ok    ' : 'FAILED'} ${name.padEnd(12)} ${seconds.padStart(6)} s  ${inWords(counts)}`,
    );
  }
  console.log(`\n${summary.join('\n')}\n\n${inWords(total)}`);
  process.exitCode = total.failed === 0 ? 0 : 1;
}

function inWords({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`;
}

/** A program that says yes or no counts as one test. */
async function runCheck(command: string, args: readonly string[]): Promise<Counts> {
  const isFine = (await run(command, args)) === 0;
  return { passed: isFine ? 1 : 0, failed: isFine ? 0 : 1, skipped: 0 };
}

/** A test file that cannot be loaded has no test that failed: it counts as one. */
async function runJest(project: string, args: readonly string[]): Promise<Counts> {
  const dir = mkdtempSync(join(tmpdir(), 'proofline-run-'));
  const outputFile = join(dir, 'result.json');
  try {
    const all = ['--selectProjects', project, '--passWithNoTests', '--json', `--outputFile=${outputFile}`, ...args];
    const code = await run(process.execPath, [...NODE, '--experimental-vm-modules', JEST, ...all]);
    const result = JSON.parse(readFileSync(outputFile, 'utf8')) as Record<string, number>;
    const failed = (result.numFailedTests ?? 0) + (result.numRuntimeErrorTestSuites ?? 0);
    return {
      passed: result.numPassedTests ?? 0,
      failed: failed === 0 && code !== 0 ? 1 : failed,
      skipped: (result.numPendingTests ?? 0) + (result.numTodoTests ?? 0),
    };
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function run(command: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve) => {
    // Jest writes its JSON to standard output too; what people read is on standard error.
    const output = args.includes('--json') ? 'ignore' : 'inherit';
    const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', output, 'inherit'] });
    child.once('error', (fault) => {
      console.error(fault.message);
      resolve(1);
    });
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

void main();
