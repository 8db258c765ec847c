import { createHash, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import { type Call, clientOf } from './test-client.ts';
import { startTestServer, type TestServer } from './test-server.ts';

let nowMs = 1_795_400_000_000;
let server: TestServer;
let tenant: SeededTenant;
let call: Call;

beforeAll(async () => {
  server = await startTestServer({
    clock: { nowMs: () => nowMs, nowMicros: () => `${new Date(nowMs).toISOString().slice(0, -1)}000Z` },
  });
});
afterAll(() => server.stop());
beforeEach(async () => {
  tenant = await seedTenant(worker());
  await worker().query('UPDATE tenants SET max_pending = 5 WHERE id = $1', [tenant.tenantId]);
  call = clientOf(server.url, tenant.apiKey);
});

const worker = () => server.database.pool('proofline_worker');
const item = (): unknown => ({
  digest: { alg: 'sha-256', value: createHash('sha256').update(randomUUID()).digest('hex') },
});
const submit = (count: number, headers = {}, body = { proofs: Array.from({ length: count }, item) }) =>
  call('POST', '/v1/submissions', body, headers);

describe('a tenant with as many pending proofs as it may have', () => {
  it('is refused with 429 and Retry-After, whole, until there is room again', async () => {
    expect((await submit(3)).status).toBe(202);
    const refused = await submit(3);
    expect([refused.status, refused.body.code, refused.headers.get('retry-after')]).toEqual([
      429,
      'TOO_MANY_PENDING',
      '10',
    ]);
    expect((await submit(2)).status).toBe(202);
    expect((await call('POST', '/v1/proofs', item())).body.code).toBe('TOO_MANY_PENDING');

    // Its end makes room, which the next count sees.
    const { rows } = await worker().query(
      "UPDATE proofs SET state = 'CANCELLED' WHERE tenant_id = $1 RETURNING submission_id",
      [tenant.tenantId],
    );
    await worker().query('DELETE FROM submission_queue WHERE submission_id = ANY ($1::uuid[])', [
      rows.map((row) => row.submission_id),
    ]);
    nowMs += 1_000;
    expect((await submit(5)).status).toBe(202);
  });

  it('is still told what came of a request that it repeats', async () => {
    const body = { proofs: Array.from({ length: 5 }, item) };
    const headers = { 'idempotency-key': randomUUID() };
    const first = await submit(5, headers, body);
    const again = await submit(5, headers, body);
    expect([again.status, again.headers.get('idempotent-replayed'), again.body.id]).toEqual([
      200,
      'true',
      first.body.id,
    ]);
    const other = await submit(1, headers);
    expect([other.status, other.body.code]).toEqual([422, 'IDEMPOTENCY_KEY_REUSED']);
  });

  it('does not hinder another tenant', async () => {
    await submit(5);
    const neighbour = clientOf(server.url, (await seedTenant(worker())).apiKey);
    expect((await neighbour('POST', '/v1/proofs', item())).status).toBe(202);
  });

  it('counts what waits in open batches, and nothing that has ended', async () => {
    const { body } = await submit(4);
    const batch = randomUUID();
    await worker().query(
      "INSERT INTO batches (id, anchor_policy, anchor_window, proof_count, formed_at) VALUES ($1, 'NONE', 'express', 4, now())",
      [batch],
    );
    await worker().query('UPDATE submissions SET batch_id = $1 WHERE id = $2', [batch, body.id]);
    await worker().query('DELETE FROM submission_queue WHERE submission_id = $1', [body.id]);
    await worker().query("UPDATE proofs SET state = 'CERTIFIED' WHERE submission_id = $1 AND ordinal < 2", [body.id]);
    nowMs += 60_000;
    expect((await submit(4)).body.code).toBe('TOO_MANY_PENDING');
    expect((await submit(3)).status).toBe(202);
  });
});
