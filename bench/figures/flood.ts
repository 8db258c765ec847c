import { setTimeout as delay } from 'node:timers/promises';
import type { BenchContext, Section } from '../figure.ts';
import { formatRequest, openConnection } from '../load/connection.ts';
import { newProof } from '../load/new-proof.ts';
import { runLoad } from '../load/run-load.ts';
import { createSecondTenant } from '../second-tenant.ts';
import { show, spreadOf } from '../statistics.ts';
import { type System, untilIdle } from '../system.ts';

const POLICIES = ['NONE', 'REQUIRED'] as const;
type Policy = (typeof POLICIES)[number];

/** What a flood of one tenant costs another tenant's single proof. */
export async function measureFlood(context: BenchContext): Promise<Section> {
  const system = await context.system();
  await untilIdle(system);
  const { apiUrl: url, apiKey: flooding } = system.stack.info;
  const quiet = await createSecondTenant(system);
  const repeats = context.quick ? 3 : 8;
  const submissions = context.quick ? 3 : 10;

  const calm: Record<Policy, number[]> = { NONE: [], REQUIRED: [] };
  for (let i = 0; i < repeats; i++)
    for (const policy of POLICIES) calm[policy].push(await certifyOne(system, quiet, policy));
  await untilIdle(system);

  const flooded: Record<Policy, number[]> = { NONE: [], REQUIRED: [] };
  let isOver = false;
  const flood = runLoad({
    kind: 'bulk',
    url,
    apiKey: flooding,
    submissions,
    proofsEach: 10_000,
    atOnce: submissions,
  }).finally(() => {
    isOver = true;
  });
  await Promise.race([flood, untilQueued(system, submissions)]);
  while (!isOver)
    for (const policy of POLICIES) if (!isOver) flooded[policy].push(await certifyOne(system, quiet, policy));
  const { seconds } = await flood;

  return {
    title: "Another tenant's flood",
    method: `A tenant's single proofs one after the other, with pauses of half a second, each from the request to its certificate: at rest, and while another tenant's ${show(submissions * 10_000)} proofs (${submissions} submissions at once) are under way, which took ${show(seconds)} s. NONE waits for the timestamp; REQUIRED for an anchor, whose express window of 5 s and the ledger's 3 s are most of it.`,
    table: [
      ['policy', 'at rest p50 ms', 'in the flood p50 ms', 'max ms', 'samples', 'p50 ratio'],
      ...POLICIES.map((policy) => {
        const [before, during] = [spreadOf(calm[policy]), spreadOf(flooded[policy])];
        const cells = [before.p50, during.p50, during.max, flooded[policy].length, during.p50 / before.p50];
        return [policy, ...cells.map(show)];
      }),
    ],
    notes: ['Aim: less than twice the quiet time.'],
  };
}

/** All of the flood is accepted, and some of it before its seal. */
async function untilQueued({ db }: System, submissions: number): Promise<void> {
  for (;;) {
    const { rows } = await db.query<{ n: number }>(
      "SELECT count(*)::int AS n FROM submissions WHERE proof_count = 10000 AND received_at > now() - interval '1 minute'",
    );
    if ((rows[0]?.n ?? 0) >= submissions) return;
    await delay(50);
  }
}

async function certifyOne({ stack }: System, apiKey: string, policy: Policy): Promise<number> {
  await delay(500);
  const connection = await openConnection(stack.info.apiUrl);
  const startedMs = performance.now();
  const accepted = await connection.send(
    formatRequest('POST', `/v1/proofs?anchorPolicy=${policy}`, { apiKey, body: newProof() }),
  );
  const { id } = JSON.parse(accepted.body) as { id: string };
  for (let tries = 0; tries < 5; tries++) {
    const { body } = await connection.send(formatRequest('GET', `/v1/proofs/${id}?wait=30`, { apiKey }));
    if (!body.includes(policy === 'NONE' ? '"CERTIFIED_NO_ANCHOR"' : '"CERTIFIED"')) continue;
    connection.close();
    return performance.now() - startedMs;
  }
  throw new Error(`${id} is not certified`);
}
