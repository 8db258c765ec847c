import { setTimeout as delay } from 'node:timers/promises';
import { certifyOne } from '../certify-one.ts';
import type { BenchContext, Section } from '../figure.ts';
import type { Job } from '../load/job.ts';
import { runLoad } from '../load/run-load.ts';
import { createSecondTenant } from '../second-tenant.ts';
import { show, spreadOf } from '../statistics.ts';
import { type System, untilIdle } from '../system.ts';

const POLICIES = ['NONE', 'REQUIRED'] as const;
type Policy = (typeof POLICIES)[number];

/** A flood of a hundred thousand proofs, or as many as come in its seconds. */
interface Flood {
  readonly name: string;
  readonly job: (url: string, apiKey: string, quick: boolean) => Job;
  /** Submissions of this size that are there when the flood has begun. */
  readonly begun: { readonly submissions: number; readonly proofsEach: number };
}

const FLOODS: readonly Flood[] = [bulkOf(10, 10_000), bulkOf(100, 1_000), closedLoopOf(256)];

function bulkOf(submissions: number, proofsEach: number): Flood {
  return {
    name: `${show(submissions)} submissions of ${show(proofsEach)} at once`,
    begun: { submissions: Math.min(submissions, 3), proofsEach },
    job: (url, apiKey, quick) => {
      const sent = quick ? Math.ceil(submissions / 3) : submissions;
      return { kind: 'bulk', url, apiKey, submissions: sent, proofsEach, atOnce: sent };
    },
  };
}

function closedLoopOf(concurrency: number): Flood {
  return {
    name: `single proofs by ${show(concurrency)} clients`,
    begun: { submissions: concurrency, proofsEach: 1 },
    job: (url, apiKey, quick) => {
      const path = '/v1/proofs?anchorPolicy=NONE';
      return { kind: 'certify', url, path, apiKey, concurrency, warmUpSeconds: 1, seconds: quick ? 15 : 45 };
    },
  };
}

type Samples = Readonly<Record<Policy, number[]>>;

/** What floods of one tenant cost another tenant's single proof. */
export async function measureFlood(context: BenchContext): Promise<Section> {
  const system = await context.system();
  await untilIdle(system);
  const quiet = await createSecondTenant(system);
  const calm: Samples = { NONE: [], REQUIRED: [] };
  for (let i = 0; i < (context.quick ? 3 : 8); i++) await certifyEach(system, quiet, calm);

  const table = [['flood', 'policy', 'at rest p50 ms', 'in the flood p50 ms', 'max ms', 'samples', 'p50 ratio']];
  for (const flood of FLOODS) {
    await untilIdle(system);
    const flooded: Samples = { NONE: [], REQUIRED: [] };
    const seconds = await sampleBeside(system, flood, context.quick, () => certifyEach(system, quiet, flooded));
    for (const policy of POLICIES) {
      const [before, during] = [spreadOf(calm[policy]), spreadOf(flooded[policy])];
      const cells = [before.p50, during.p50, during.max, flooded[policy].length, during.p50 / before.p50];
      table.push([`${flood.name}, ${show(seconds)} s`, policy, ...cells.map(show)]);
    }
  }
  return {
    title: "Another tenant's flood",
    method:
      "A tenant's single proofs one after the other, with pauses of half a second, each from the request to its certificate: at rest, and from the moment that another tenant's flood has begun until it is certified. NONE waits for the timestamp; REQUIRED for an anchor, whose express window of 5 s and the ledger's 3 s are most of it.",
    table,
    notes: ['Aim: less than twice the quiet time, whatever a flood is made of.'],
  };
}

/** Takes samples while the flood lasts; the seconds that it took. */
async function sampleBeside(
  system: System,
  { job, begun }: Flood,
  quick: boolean,
  sample: () => Promise<void>,
): Promise<number> {
  const { apiUrl, apiKey } = system.stack.info;
  let isOver = false;
  const from = new Date();
  const flood = runLoad(job(apiUrl, apiKey, quick)).finally(() => {
    isOver = true;
  });
  await Promise.race([flood, untilBegun(system, from, begun)]);
  while (!isOver) await sample();
  return (await flood).seconds;
}

async function certifyEach(system: System, apiKey: string, into: Samples): Promise<void> {
  for (const policy of POLICIES) into[policy].push(await certifyOne(system, apiKey, policy));
}

async function untilBegun({ db }: System, from: Date, { submissions, proofsEach }: Flood['begun']): Promise<void> {
  for (;;) {
    const { rows } = await db.query<{ n: number }>(
      'SELECT count(*)::int AS n FROM submissions WHERE proof_count = $1 AND received_at >= $2',
      [proofsEach, from],
    );
    if ((rows[0]?.n ?? 0) >= submissions) return;
    await delay(50);
  }
}
