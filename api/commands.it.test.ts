import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { ProofId } from '../domain/ids.ts';
import { findAuditBreak } from '../store/audit.ts';
import { applyPending } from '../store/commands.ts';
import { expandFilters } from '../store/expand-commands.ts';
import { type SeededTenant, seedOperatorKey, seedTenant } from '../test/support/seed.ts';
import { startLoop } from '../workers/loop.ts';
import { type Answer, type Call, clientOf } from './test-client.ts';
import { startTestServer, TEST_ORIGIN, type TestServer } from './test-server.ts';

let server: TestServer;
let tenant: SeededTenant;
let owner: Call;
let support: Call;
let relay: { stop(): Promise<void> } | undefined;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  tenant = await seedTenant(worker());
  owner = clientOf(server.url, tenant.apiKey);
  support = clientOf(server.url, await seedOperatorKey(worker(), ['SUPPORT_OPERATOR']));
});
afterEach(async () => {
  await relay?.stop();
  relay = undefined;
});

const worker = () => server.database.pool('proofline_worker');

/** The relay's loop of commands, and nothing else of it: Temporal is away. */
function startRelay(): void {
  const now = () => new Date().toISOString().replace('Z', '000Z');
  relay = startLoop({
    everyMs: 20,
    onError: (error) => console.error(error),
    turn: async () =>
      (await applyPending(worker(), { origin: TEST_ORIGIN, now: now() })) > 0 || (await expandFilters(worker())),
  });
}

async function submit(count = 1): Promise<ProofId[]> {
  const proofs = Array.from({ length: count }, () => ({
    digest: { alg: 'sha-256', value: randomUUID().replaceAll('-', '').repeat(2) },
  }));
  const { body } = await owner('POST', '/v1/submissions', { proofs });
  return body.items.map((item: { id: ProofId }) => item.id);
}
const send = (call: Call, proof: string, verb: string, headers = {}): Promise<Answer> =>
  call('POST', `/v1/proofs/${proof}/${verb}`, { reason: `to ${verb}` }, headers);
const stateOf = async (proof: string): Promise<string> => (await owner('GET', `/v1/proofs/${proof}`)).body.state;

describe('a support verb', () => {
  it('is applied while Temporal is away and answers 200 with its outcome', async () => {
    startRelay();
    const [proof = ''] = await submit();
    const { status, body, headers } = await send(support, proof, 'cancel');
    expect(status).toBe(200);
    expect(body).toMatchObject({
      verb: 'cancel',
      state: 'APPLIED',
      matched: 1,
      applied: 1,
      items: [{ proof, state: 'APPLIED' }],
    });
    expect(await stateOf(proof)).toBe('CANCELLED');
    const path = headers.get('location') ?? '';
    expect((await support('GET', path)).body).toEqual(body);
    const { body: timeline } = await owner('GET', `/v1/proofs/${proof}/timeline`);
    expect(timeline.data.at(-1)).toMatchObject({
      state: 'CANCELLED',
      detail: { command: 'cancel', reason: 'to cancel' },
    });
  });

  it('answers 409 with the reason where the state refuses it, twice as well', async () => {
    startRelay();
    const [proof = ''] = await submit();
    for (const [verb, why] of [
      ['retry', 'the proof is RECEIVED: it has not failed'],
      ['certify-without-anchor', 'the proof is RECEIVED: it has no timestamp yet'],
    ] as const) {
      const { status, body } = await send(support, proof, verb);
      expect([status, body.code]).toEqual([409, 'TRANSITION_NOT_ALLOWED']);
      expect(body.detail).toContain(why);
      expect((await support('GET', new URL(body.command).pathname)).body.state).toBe('REFUSED');
    }
    expect((await send(support, proof, 'reject')).status).toBe(200);
    const { body: rejected } = await owner('GET', `/v1/proofs/${proof}`);
    expect(rejected.failure).toMatchObject({ code: 'REJECTED_BY_OPERATOR', detail: 'to reject' });
    const again = await send(support, proof, 'reject');
    expect([again.status, again.body.detail]).toEqual([409, 'the proof is REJECTED: it is REJECTED already']);
  });

  it('is the same command under the same idempotency key, and another body is refused', async () => {
    startRelay();
    const [proof = '', other = ''] = await submit(2);
    const key = { 'idempotency-key': randomUUID() };
    const first = await send(support, proof, 'cancel', key);
    const again = await send(support, proof, 'cancel', key);
    expect([again.status, again.body]).toEqual([200, first.body]);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect((await send(support, other, 'cancel', key)).body.code).toBe('IDEMPOTENCY_KEY_REUSED');
    expect((await send(support, other, 'cancel', { 'idempotency-key': 'not ok' })).body.code).toBe(
      'IDEMPOTENCY_KEY_MALFORMED',
    );
    expect(await stateOf(other)).toBe('RECEIVED');
  });

  it('answers 202 with its link when nobody applies it within five seconds, and is applied later', async () => {
    const [proof = ''] = await submit();
    const { status, body, headers } = await send(support, proof, 'cancel');
    expect([status, body.state, headers.get('retry-after')]).toEqual([202, 'PENDING', '5']);
    startRelay();
    const path = headers.get('location') ?? '';
    while ((await support('GET', path)).body.state === 'PENDING');
    expect(await stateOf(proof)).toBe('CANCELLED');
  });
});

describe('who may', () => {
  it('cancels its own proof with its own key, and sees that command; the other verbs are forbidden', async () => {
    startRelay();
    const [proof = ''] = await submit();
    for (const verb of ['retry', 'reject', 'certify-without-anchor'])
      expect((await send(owner, proof, verb)).body.code).toBe('FORBIDDEN');
    const { status, headers } = await send(owner, proof, 'cancel');
    expect(status).toBe(200);
    const path = headers.get('location') ?? '';
    expect((await owner('GET', path)).status).toBe(200);
    const stranger = clientOf(server.url, (await seedTenant(worker())).apiKey);
    const same = { 'x-request-id': 'the-same' };
    const foreign = await stranger('GET', path, undefined, same);
    const unknown = await stranger('GET', `/v1/commands/${randomUUID()}`, undefined, same);
    expect([foreign.status, foreign.text]).toEqual([404, unknown.text]);
    expect((await support('GET', path)).status).toBe(200);
  });

  it('gets the bytes of an unknown proof for a foreign one, and leaves it as it was', async () => {
    startRelay();
    const [proof = ''] = await submit();
    const stranger = clientOf(server.url, (await seedTenant(worker())).apiKey);
    for (const verb of ['cancel', 'retry', 'reject', 'certify-without-anchor']) {
      const same = { 'x-request-id': 'the-same' };
      const foreign = await send(stranger, proof, verb, same);
      expect([foreign.status, foreign.text]).toEqual([404, (await send(stranger, randomUUID(), verb, same)).text]);
      expect((await send(support, randomUUID(), verb)).status).toBe(404);
    }
    expect(await stateOf(proof)).toBe('RECEIVED');
  });

  it.each(['PLATFORM_ADMIN', 'AUDITOR', 'BILLING_OPERATOR'])('is no %s', async (role) => {
    const [proof = ''] = await submit();
    const other = clientOf(server.url, await seedOperatorKey(worker(), [role]));
    expect((await send(other, proof, 'cancel')).body.code).toBe('FORBIDDEN');
    const list = { verb: 'cancel', reason: 'x', proofs: [proof] };
    expect((await other('POST', '/v1/proofs/commands', list)).body.code).toBe('FORBIDDEN');
    expect((await owner('POST', '/v1/proofs/commands', list)).body.code).toBe('FORBIDDEN');
  });
});

describe('many proofs', () => {
  const many = (body: object): Promise<Answer> => support('POST', '/v1/proofs/commands', { reason: 'many', ...body });

  it('named in a list have an outcome each', async () => {
    startRelay();
    const ids = await submit(1_000);
    await send(owner, ids[1] ?? '', 'cancel');
    const { status, body } = await many({ verb: 'cancel', proofs: ids });
    expect([status, body.state]).toEqual([200, 'APPLIED_IN_PART']);
    expect(body).toMatchObject({ matched: 1_000, pending: 0, applied: 999, refused: 1 });
    expect(body.items.map((item: { proof: string }) => item.proof)).toEqual(ids);
    expect(body.items[1]).toMatchObject({ state: 'REFUSED', code: 'TRANSITION_NOT_ALLOWED' });
    expect(await findAuditBreak(server.database.pool('proofline_owner'))).toBeUndefined();
  });

  it('are refused whole if one is unknown, by index', async () => {
    const [proof = ''] = await submit();
    const { status, body } = await many({ verb: 'cancel', proofs: [proof, randomUUID()] });
    expect([status, body.code, body.items]).toEqual([
      422,
      'ITEMS_REFUSED',
      [expect.objectContaining({ index: 1, code: 'NOT_FOUND' })],
    ]);
    expect(await stateOf(proof)).toBe('RECEIVED');
  });

  it('matched by a filter are counted honestly and worked through in steps', async () => {
    startRelay();
    const ids = await submit(2_500);
    const filter = { tenant: tenant.tenantId, states: ['RECEIVED'] };
    const { status, body, headers } = await many({ verb: 'reject', filter });
    expect(body.matched).toBe(2_500);
    expect([200, 202]).toContain(status);
    const path = headers.get('location') ?? '';
    let seen = body;
    while (seen.state === 'PENDING') {
      expect(seen.pending).toBe(2_500 - seen.applied);
      seen = (await support('GET', path)).body;
    }
    expect(seen).toMatchObject({ state: 'APPLIED', matched: 2_500, pending: 0, applied: 2_500, refused: 0, items: [] });
    expect(await stateOf(ids[2_499] ?? '')).toBe('REJECTED');
    expect((await many({ verb: 'reject', filter })).body).toMatchObject({ matched: 0, state: 'APPLIED' });
  });

  it.each([
    ['neither list nor filter', {}],
    ['both', { proofs: [randomUUID()], filter: { tenant: randomUUID(), states: ['RECEIVED'] } }],
    ['an unknown verb', { verb: 'certify', proofs: [randomUUID()] }],
    ['an empty list', { proofs: [] }],
    ['more than a thousand', { proofs: Array.from({ length: 1_001 }, () => randomUUID()) }],
    ['no id', { proofs: ['x'] }],
    ['a filter without a state', { filter: { tenant: randomUUID(), states: [] } }],
    [
      'a day that does not exist',
      { filter: { tenant: randomUUID(), states: ['FAILED'], receivedTo: '2026-02-31T00:00:00.000000Z' } },
    ],
    ['a reason that is empty', { reason: '', proofs: [randomUUID()] }],
    ['a reason with a control character', { reason: 'a\u0000b', proofs: [randomUUID()] }],
    ['a reason that is too long', { reason: 'x'.repeat(501), proofs: [randomUUID()] }],
  ])('are refused with %s', async (_what, body) => {
    const { status, body: problem } = await many({ verb: 'cancel', ...body });
    expect([status, problem.code]).toEqual([400, 'REQUEST_INVALID']);
  });
});
