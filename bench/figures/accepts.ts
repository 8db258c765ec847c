import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { BenchContext, Section } from '../figure.ts';
import type { JobResult } from '../load/job.ts';
import { runLoad } from '../load/run-load.ts';
import { show, spreadOf } from '../statistics.ts';
import { type System, untilIdle } from '../system.ts';

const CONCURRENCY = [64, 256];

/** Accepted submissions a second, beside a bare Express application with one insert a request. */
export async function measureAccepts(context: BenchContext): Promise<Section> {
  const system = await context.system();
  const { apiUrl, apiKey, postgresUrl } = system.stack.info;
  await untilIdle(system);
  const seconds = context.quick ? 5 : 8;
  const table = [['accepted submissions of one proof', 'clients', 'per s', 'p50 ms', 'p99 ms', 'of bare']];
  const load = (url: string, path: string, concurrency: number): Promise<JobResult> =>
    runLoad({ kind: 'accept', url, path, apiKey, concurrency, warmUpSeconds: 3, seconds });
  const bareOf = new Map<number, number>();
  const add = (name: string, concurrency: number, result: JobResult): void => {
    const { p50, p99 } = spreadOf(result.latenciesMs);
    const perSecond = result.done / result.seconds;
    if (!bareOf.has(concurrency)) bareOf.set(concurrency, perSecond);
    const ratio = perSecond / (bareOf.get(concurrency) ?? Number.NaN);
    table.push([name, `${concurrency}`, show(perSecond), show(p50), show(p99), show(ratio)]);
    context.say(table.at(-1)?.join('  ') ?? '');
  };

  const bare = await startBare(postgresUrl);
  try {
    for (const concurrency of CONCURRENCY)
      add('bare Express, one insert a request', concurrency, await load(bare.url, '/', concurrency));
  } finally {
    await bare.stop();
  }
  // The bare application has nothing behind it; neither has the API while the relay is down.
  const relay = system.stack.parts.get('relay');
  await relay?.stop();
  for (const concurrency of CONCURRENCY)
    add('API, relay stopped', concurrency, await load(apiUrl, '/v1/proofs?anchorPolicy=NONE', concurrency));
  const backlog = await countQueue(system);
  const startedMs = performance.now();
  await relay?.start();
  await untilIdle(system);
  const drainSeconds = (performance.now() - startedMs) / 1000;
  add('API, certifying meanwhile', 64, await load(apiUrl, '/v1/proofs?anchorPolicy=NONE', 64));
  await untilIdle(system);
  return {
    title: 'Accepted submissions a second',
    method: `Closed loop of POST with one digest, ${seconds} s a row after 3 s of warm-up. Ours is POST /v1/proofs as it is: key, contract validation, JCS hash, earlier proofs of the digest, proof, timeline, event, queue row, one process. Bare: Express 5, express.json, one INSERT of id, digest and time, 50 connections, the same Postgres, one process.`,
    table,
    notes: [
      'Aim ≥ 1.2 of bare and ≥ 5,000/s.',
      'Bound by the cores, which API, Postgres and the load generator share: a bare request writes one row and parses nothing but JSON, one of ours writes five in one call a group. Rows are taken minutes apart, and bare alone differs by a tenth from run to run.',
      `The backlog of ${show(backlog)} single proofs that the stopped relay left was certified in ${show(drainSeconds)} s: ${show(backlog / drainSeconds)}/s.`,
    ],
  };
}

async function countQueue({ db }: System): Promise<number> {
  const { rows } = await db.query<{ n: number }>('SELECT count(*)::int AS n FROM submission_queue');
  return rows[0]?.n ?? 0;
}

async function startBare(postgresUrl: string): Promise<{ url: string; stop(): Promise<void> }> {
  const child: ChildProcess = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      fileURLToPath(new URL('../load/bare-express.ts', import.meta.url)),
      postgresUrl,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'], timeout: 300_000, killSignal: 'SIGKILL' },
  );
  const [line] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
  return {
    url: line.toString().trim(),
    async stop() {
      const ended = once(child, 'close');
      child.kill('SIGTERM');
      await ended;
    },
  };
}
