import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Job, JobResult } from './job.ts';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const MAX_SECONDS = 600;

/** Runs a job in a load generator of its own. Throws with its last words if it fails or takes ten minutes. */
export async function runLoad(job: Job): Promise<JobResult> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, JSON.stringify(job)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: MAX_SECONDS * 1000,
    killSignal: 'SIGKILL',
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0)
    throw new Error(`the load generator ended with ${code}: ${Buffer.concat(err).toString().slice(-2000)}`);
  const result = JSON.parse(Buffer.concat(out).toString('utf8')) as JobResult;
  const failed = Object.entries(result.failures);
  if (failed.length > 0) process.stderr.write(`  failures of the load: ${JSON.stringify(result.failures)}\n`);
  return result;
}
