import type { BenchContext, Section } from '../figure.ts';
import { runLoad } from '../load/run-load.ts';
import { show, spreadOf } from '../statistics.ts';
import { untilIdle } from '../system.ts';

/** From sending a proof to the first published checkpoint that covers it, at a gentle constant rate. */
export async function measureReceipts(context: BenchContext): Promise<Section> {
  const system = await context.system();
  const seconds = context.quick ? 6 : 20;
  const { apiUrl: url, apiKey, postgresUrl } = system.stack.info;
  const table = [['offered per s', 'covered', 'p50 ms', 'p99 ms', 'max ms']];
  await runLoad({ kind: 'receipts', url, apiKey, rate: 100, seconds: 2, postgresUrl });
  for (const rate of [100, 500]) {
    await untilIdle(system);
    const result = await runLoad({ kind: 'receipts', url, apiKey, rate, seconds, postgresUrl });
    const { p50, p99, max } = spreadOf(result.latenciesMs);
    table.push([show(rate), show(result.done), show(p50), show(p99), show(max)]);
  }
  return {
    title: 'Receipts',
    method: `Open loop of single proofs (policy NONE) for ${seconds} s: each counts from the moment it was due to be sent (not when a connection was free) to the moment a poll of /log/checkpoint, every 5 ms, first showed a checkpoint larger than its leaf index. The whole system runs: the same proofs are timestamped and certified meanwhile. Checkpoints at least 75 ms apart, under load up to 200 ms.`,
    table,
    notes: [
      'Aim at 500/s: p50 ≤ 150 ms, p99 ≤ 300 ms. A uniform wait for an interval of 75 to 200 ms alone has p50 38 to 100, p99 74 to 198 ms.',
      'Bound, beside that wait, by the rounds of sealing (30 ms apart, each a dozen statements and a call to the signer) and by the cores, which certify the same proofs meanwhile.',
    ],
  };
}
