import { setTimeout as delay } from 'node:timers/promises';
import { WOKEN } from '../../store/wake-batches.ts';
import { certifyOne } from '../certify-one.ts';
import type { BenchContext, Section } from '../figure.ts';
import { formatRequest, openConnection } from '../load/connection.ts';
import { newProof } from '../load/new-proof.ts';
import { type BenchTenant, createSecondTenant, createTenant, grantLicence } from '../second-tenant.ts';
import { show, spreadOf } from '../statistics.ts';
import { type System, untilIdle } from '../system.ts';

/** Slow enough that most proofs travel in a batch of their own. */
const EVERY_MS = 300;

/** What another tenant's single proof pays while one grant serves all who waited for it. */
export async function measureWakes(context: BenchContext): Promise<Section> {
  const system = await context.system();
  await untilIdle(system);
  const quiet = await createSecondTenant(system);
  const parked = await createTenant(system);
  const table = [['beside', 'seconds', 'p50 ms', 'max ms', 'samples', 'p50 ratio']];
  let restMs: number | undefined;
  const sampleDuring = async (name: string, work: Promise<unknown>): Promise<void> => {
    const startedMs = performance.now();
    let isOver = false;
    const running = work.finally(() => {
      isOver = true;
    });
    const samples: number[] = [];
    while (!isOver) samples.push(await certifyOne(system, quiet, 'NONE'));
    await running;
    const { p50, max } = spreadOf(samples);
    restMs ??= p50;
    table.push([name, ...[(performance.now() - startedMs) / 1000, p50, max, samples.length, p50 / restMs].map(show)]);
  };
  await sampleDuring('nobody', delay(context.quick ? 5_000 : 15_000));
  await sampleDuring('single proofs that will wait, 3 a second', submitSlowly(system, parked, context.quick ? 20 : 90));
  const batches = await untilParked(system, parked);
  const served = grantLicence(system, parked.id).then(() => untilIdle(system));
  await sampleDuring(`the grant that serves them, in ${show(batches)} batches`, served);
  return {
    title: 'One grant for many batches',
    method:
      "A tenant without a licence submits single proofs (policy NONE), few enough at a time that they make batches of their own; then its grant is imported. Another tenant's single proofs one after the other, with pauses of half a second, each from the request to its certificate. One that comes right after a timestamp waits a second for the next, so at rest the sampler's own pace decides.",
    table,
    notes: [`Aim: less than twice its time beside nobody. Batches are told in portions of ${WOKEN} a lane.`],
  };
}

async function submitSlowly({ stack }: System, { apiKey }: BenchTenant, seconds: number): Promise<void> {
  const connection = await openConnection(stack.info.apiUrl);
  for (const endMs = performance.now() + seconds * 1000; performance.now() < endMs; await delay(EVERY_MS)) {
    const request = formatRequest('POST', '/v1/proofs?anchorPolicy=NONE', { apiKey, body: newProof() });
    const { status } = await connection.send(request);
    if (status !== 202) throw new Error(`a proof was answered ${status}`);
  }
  connection.close();
}

/** How many batches wait, once all of the tenant's proofs do. */
async function untilParked({ db }: System, { id }: BenchTenant): Promise<number> {
  for (;;) {
    const { rows } = await db.query<{ moving: number; batches: number }>(
      `SELECT count(*) FILTER (WHERE p.state <> 'AWAITING_LICENSE')::int AS moving, count(DISTINCT s.batch_id)::int AS batches
       FROM proofs p JOIN submissions s ON s.id = p.submission_id WHERE p.tenant_id = $1`,
      [id],
    );
    if (rows[0]?.moving === 0) return rows[0].batches;
    await delay(100);
  }
}
