import { setTimeout as delay } from 'node:timers/promises';
import { formatRequest, openConnection } from './load/connection.ts';
import { newProof } from './load/new-proof.ts';
import type { System } from './system.ts';

/** After half a second: one proof of a tenant, from its request to its certificate, in milliseconds. */
export async function certifyOne({ stack }: System, apiKey: string, policy: 'NONE' | 'REQUIRED'): Promise<number> {
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
