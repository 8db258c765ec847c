import { availableParallelism } from 'node:os';
import type { BenchContext, Section } from '../figure.ts';
import { measureBareWorkflow } from '../load/bare-workflow.ts';
import type { JobResult } from '../load/job.ts';
import { runLoad } from '../load/run-load.ts';
import { cpuBetween, readUse } from '../process-use.ts';
import { show, spreadOf } from '../statistics.ts';
import { type System, untilIdle } from '../system.ts';

const CONCURRENCY = [10, 100, 1_000, 2_000];

/** Certified proofs a second, each submitted alone, from clients that wait for each one's end. */
export async function measureSingles(context: BenchContext): Promise<Section> {
  const system = await context.system();
  const seconds = context.quick ? 6 : 20;
  const table = [
    [
      'closed loop of singles',
      'per s',
      'p50 ms',
      'p99 ms',
      'proofs a batch',
      'CPU ms each, by part',
      'load CPU ms each',
    ],
  ];
  await run(system, 100, 2, 1);
  let best = 0;
  for (const concurrency of CONCURRENCY) {
    const { result, batchSize, cpu } = await run(system, concurrency, seconds, context.quick ? 2 : 5);
    const { p50, p99 } = spreadOf(result.latenciesMs);
    const perSecond = result.done / result.seconds;
    best = Math.max(best, perSecond);
    table.push([
      `${concurrency.toLocaleString('en-US')} clients`,
      show(perSecond),
      show(p50),
      show(p99),
      show(batchSize),
      cpu,
      show((result.cpuSeconds * 1000) / Math.max(1, result.done)),
    ]);
    context.say(table.at(-1)?.join('  ') ?? '');
  }
  await untilIdle(system);
  let bareBest = 0;
  for (const concurrency of context.quick ? [50] : [50, 200]) {
    const bare = await measureBareWorkflow(system.stack.info.temporalAddress, concurrency, context.quick ? 5 : 15);
    const { p50, p99 } = spreadOf(bare.latenciesMs);
    const perSecond = bare.latenciesMs.length / bare.seconds;
    bareBest = Math.max(bareBest, perSecond);
    table.push([`bare workflow, ${concurrency} at once`, show(perSecond), show(p50), show(p99), '1', '', '']);
  }
  return {
    title: 'Certified proofs a second, single submissions',
    method: `POST /v1/proofs (policy NONE), then GET …?wait=30 until the certificate is there, then the next; each client on a connection of its own, the load generator a process of its own; ${seconds} s a row after a warm-up. Baseline: a workflow of two empty activities on the same Temporal server, worker with the same settings, client in a process of its own.`,
    table,
    notes: [
      `Aim ≥ 2,000/s at 2,000 clients and ≥ 50 times the bare workflow: best ${show(best)}/s, ${show(best / bareBest)} times.`,
      `Bound by the cores at 1,000 clients and more: a proof costs the sum of its row, on ${availableParallelism()} of them. At 10 and 100 clients everybody waits for the token of the next timestamp window (1 s).`,
    ],
  };
}

async function run(
  system: System,
  concurrency: number,
  seconds: number,
  warmUpSeconds: number,
): Promise<{ result: JobResult; batchSize: number; cpu: string }> {
  const { apiUrl, apiKey } = system.stack.info;
  await untilIdle(system);
  const { rows: before } = await system.db.query<{ at: string }>('SELECT clock_timestamp() AS at');
  const use = await readUse(system.stack.info.pids);
  const startedMs = performance.now();
  const result = await runLoad({
    kind: 'certify',
    url: apiUrl,
    path: '/v1/proofs?anchorPolicy=NONE',
    apiKey,
    concurrency,
    warmUpSeconds,
    seconds,
  });
  const after = await readUse(system.stack.info.pids);
  const { rows } = await system.db.query<{ proofs: number; size: number }>(
    'SELECT coalesce(sum(proof_count), 0)::int AS proofs, coalesce(avg(proof_count), 0)::float8 AS size FROM batches WHERE formed_at >= $1',
    [before[0]?.at],
  );
  const cpu = cpuBetween(use, after)
    .filter(([, spent]) => spent > 0)
    .map(([part, spent]) => `${part} ${show((spent * 1000) / Math.max(1, rows[0]?.proofs ?? 1))}`);
  if (performance.now() - startedMs > (seconds + warmUpSeconds) * 1000 + 30_000)
    process.stderr.write('  the load took long to end\n');
  return { result, batchSize: rows[0]?.size ?? 0, cpu: cpu.slice(0, 6).join(', ') };
}
