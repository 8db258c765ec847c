import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export interface BareResult {
  readonly latenciesMs: readonly number[];
  readonly seconds: number;
}

/** Runs the bare workflow in a closed loop: worker and client each a process of its own. */
export async function measureBareWorkflow(address: string, concurrency: number, seconds: number): Promise<BareResult> {
  const worker = start('bare-worker.ts', address);
  try {
    await once(worker.stdout as NodeJS.ReadableStream, 'data');
    const client = start('bare-client.ts', JSON.stringify({ address, concurrency, seconds }));
    const out: Buffer[] = [];
    client.stdout?.on('data', (chunk: Buffer) => out.push(chunk));
    const [code] = await once(client, 'close');
    if (code !== 0) throw new Error(`the client of the bare workflow ended with ${code}`);
    return JSON.parse(Buffer.concat(out).toString()) as BareResult;
  } finally {
    const ended = once(worker, 'close');
    worker.kill('SIGTERM');
    await ended;
  }
}

function start(file: string, argument: string): ChildProcess {
  const path = fileURLToPath(new URL(`./${file}`, import.meta.url));
  return spawn(process.execPath, ['--disable-warning=ExperimentalWarning', path, argument], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 300_000,
    killSignal: 'SIGKILL',
  });
}
