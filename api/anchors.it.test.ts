import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { systemClock } from '../domain/clock.ts';
import { abandonSuspect, allowRetry, readPendingCommand, refuseAnchorCommand } from '../store/anchor-commands.ts';
import { findAuditBreak } from '../store/audit.ts';
import { formBatch } from '../store/batches.ts';
import { publishInstance } from '../store/instance.ts';
import { coverLeaves, seedQueuedProofs } from '../test/support/queued-proofs.ts';
import { type SeededTenant, seedOperatorKey, seedTenant } from '../test/support/seed.ts';
import { type Answer, type Call, clientOf, digestOf } from './test-client.ts';
import { startTestServer, TEST_ORIGIN, type TestServer } from './test-server.ts';

const clock = systemClock();
let server: TestServer;
let tenant: SeededTenant;
let owner: Call;
let support: Call;
let admin: Call;
let auditor: Call;

beforeAll(async () => {
  server = await startTestServer();
  tenant = await seedTenant(db());
  owner = clientOf(server.url, tenant.apiKey);
  const keyOf = async (role: string): Promise<Call> => clientOf(server.url, await seedOperatorKey(db(), [role]));
  [support, admin, auditor] = [await keyOf('SUPPORT_OPERATOR'), await keyOf('PLATFORM_ADMIN'), await keyOf('AUDITOR')];
  await publishInstance(
    db(),
    {
      instance: 'test',
      origin: TEST_ORIGIN,
      roots: { signing: [], tsa: [] },
      tsas: [],
      ledgers: [
        {
          kind: 'hedera-hcs/v1',
          network: 'simulator',
          topicId: '0.0.1001',
          submitKey: '',
          explorer: 'https://explorer.test',
        },
      ],
      log: 'https://proofline.test/log',
      verifier: { source: 'x' },
    },
    clock.nowMicros(),
  );
});
afterAll(() => server.stop());
beforeEach(() =>
  server.database.pool('proofline_owner').query('TRUNCATE anchors, anchor_attempts, anchor_commands, alarms CASCADE'),
);

const db = () => server.database.pool('proofline_worker');

async function seedAnchor(size: number, state: string): Promise<void> {
  const values = [TEST_ORIGIN, size, state, JSON.stringify({ status: 'WHY' }), clock.nowMicros()];
  await db().query(
    `INSERT INTO anchors (origin, size, "window", state, attempt, failure, created_at, updated_at) VALUES ($1, $2, 'express', $3, 1, $4, $5, $5)`,
    values,
  );
  await db().query(
    `INSERT INTO anchor_attempts (origin, size, attempt, state, transaction_id, prepared, signed_bytes, failure, confirmation, created_at, updated_at)
     VALUES ($1, $2::bigint, 1, $3, '0.0.5@' || $2, '{}', '', $4, '{"mirrors":[{"mirror":"http://m","verdict":"mismatch","detail":"another message"}]}', $5, $5)`,
    values,
  );
}

/** Sends a verb and decides it as the anchor's workflow would. */
async function command(send: Call, path: string, body: unknown, decide = true): Promise<Answer> {
  const answer = send('POST', path, body);
  let isAnswered = false;
  void answer.finally(() => {
    isAnswered = true;
  });
  const size = BigInt(path.split('/')[4] ?? '');
  while (!isAnswered) {
    const key = { origin: TEST_ORIGIN, size };
    const found = decide ? await readPendingCommand(db(), key) : undefined;
    if (found !== undefined) {
      const decision = { ...key, attempt: 1, command: found, now: clock.nowMicros() };
      if (found.verb === 'retry') await allowRetry(db(), decision);
      if (found.verb === 'abandon') await abandonSuspect(db(), decision);
      if (found.verb === 'accept')
        await refuseAnchorCommand(db(), { ...decision, code: 'LEDGER_SUSPECT', detail: 'no mirror shows it' });
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  return answer;
}

const DECISION = { decision: 'abandon', reason: 'ticket 9', evidence: 'answers of both mirrors, ticket 9' };

describe('anchors for operators', () => {
  it('are retried once rejected: audited, with the signal to the workflow', async () => {
    await seedAnchor(7, 'REJECTED');
    const { status, body } = await command(support, '/v1/admin/anchors/7/retry', { reason: 'account filled' });
    expect([status, body.state, body.failure]).toEqual([200, 'REJECTED', null]);
    expect(body.commands).toMatchObject([{ verb: 'retry', state: 'APPLIED', reason: 'account filled' }]);
    const { rows } = await db().query('SELECT workflow_id, name FROM outbox');
    expect(rows).toContainEqual({ workflow_id: `anchor:${TEST_ORIGIN}:7`, name: 'anchorCommanded' });
    const { rows: audit } = await db().query(`SELECT action FROM audit WHERE subject = $1 ORDER BY id`, [
      `anchor:${TEST_ORIGIN}:7`,
    ]);
    expect(audit).toEqual([{ action: 'anchor.retry.requested' }, { action: 'anchor.retry.applied' }]);
    expect(await findAuditBreak(db())).toBeUndefined();
  });

  it('are resolved when suspect, with the evidence kept', async () => {
    await seedAnchor(7, 'SUSPECT');
    const refused = await command(support, '/v1/admin/anchors/7/resolve-suspect', {
      ...DECISION,
      decision: 'accept',
      distrustedMirrors: ['http://m'],
    });
    expect([refused.status, refused.body.code, refused.body.detail]).toEqual([
      409,
      'TRANSITION_NOT_ALLOWED',
      'no mirror shows it',
    ]);
    const { status, body } = await command(support, '/v1/admin/anchors/7/resolve-suspect', DECISION);
    expect([status, body.state]).toEqual([200, 'FAILED']);
    expect(body.attempts).toMatchObject([
      { state: 'FAILED', status: 'ABANDONED', mirrors: [{ mirror: 'http://m', verdict: 'mismatch' }] },
    ]);
    expect(body.commands).toMatchObject([
      { verb: 'abandon', state: 'APPLIED', evidence: { statement: DECISION.evidence, distrustedMirrors: [] } },
      { verb: 'accept', state: 'REFUSED', evidence: { distrustedMirrors: ['http://m'] } },
    ]);
    const { rows } = await db().query(
      `SELECT detail ->> 'evidence' AS evidence FROM audit WHERE action = 'anchor.abandon.requested'`,
    );
    expect(rows).toEqual([{ evidence: DECISION.evidence }]);
  });

  it('answer 202 while nobody has decided', async () => {
    await seedAnchor(7, 'REJECTED');
    const { status, body, headers } = await command(support, '/v1/admin/anchors/7/retry', { reason: 'x' }, false);
    expect([status, headers.get('location'), body.commands[0].state]).toEqual([202, '/v1/admin/anchors/7', 'PENDING']);
  }, 15_000);

  it('refuse a verb that does not fit, an unknown anchor, and whoever may not', async () => {
    await seedAnchor(7, 'VERIFIED');
    const retry = await support('POST', '/v1/admin/anchors/7/retry', { reason: 'x' });
    expect([retry.status, retry.body.code, retry.body.detail]).toEqual([
      409,
      'TRANSITION_NOT_ALLOWED',
      'retry of an anchor that is VERIFIED',
    ]);
    const resolve = await support('POST', '/v1/admin/anchors/7/resolve-suspect', DECISION);
    expect(resolve.body.code).toBe('TRANSITION_NOT_ALLOWED');
    expect((await support('POST', '/v1/admin/anchors/8/retry', { reason: 'x' })).status).toBe(404);
    for (const call of [owner, auditor])
      expect((await call('POST', '/v1/admin/anchors/7/resolve-suspect', DECISION)).status).toBe(403);
    expect((await owner('GET', '/v1/admin/anchors')).status).toBe(403);
    expect((await db().query('SELECT FROM anchor_commands')).rowCount).toBe(0);
  });

  it.each([
    ['no evidence', { decision: 'abandon', reason: 'x' }],
    ['another decision', { ...DECISION, decision: 'forget' }],
    ['a mirror that is no URL', { ...DECISION, distrustedMirrors: ['mirror one'] }],
  ])('refuse a decision with %s', async (_what, body) => {
    await seedAnchor(7, 'SUSPECT');
    expect((await support('POST', '/v1/admin/anchors/7/resolve-suspect', body)).status).toBe(400);
  });

  it('are listed by state, page by page, and alarms beside them', async () => {
    for (const size of [1, 2, 3]) await seedAnchor(size, 'SUSPECT');
    await seedAnchor(4, 'REJECTED');
    await db().query(
      `INSERT INTO alarms (kind, subject, began_at, ended_at) VALUES ('anchor.suspect', 'a', now(), now()), ('anchor.suspect', 'a', now(), NULL)`,
    );
    const first = await auditor('GET', '/v1/admin/anchors?state=SUSPECT&limit=2');
    expect([first.body.data.map((one: { size: string }) => one.size), first.body.next]).toEqual([['3', '2'], '2']);
    const second = await auditor('GET', `/v1/admin/anchors?state=SUSPECT&limit=2&below=${first.body.next}`);
    expect([second.body.data.map((one: { size: string }) => one.size), second.body.next]).toEqual([['1'], null]);
    expect((await auditor('GET', '/v1/admin/alarms')).body.data).toMatchObject([
      { kind: 'anchor.suspect', endedAt: null },
    ]);
    expect((await auditor('GET', '/v1/admin/alarms?open=false')).body.data).toHaveLength(2);
  });

  it('have alarms that end with them alone, while one about a topic ends once somebody has looked', async () => {
    await db().query(
      `INSERT INTO alarms (kind, subject, began_at) VALUES ('anchor.suspect', 'a', now()), ('topic.gap', 'topic:x:0.0.1:7', now())`,
    );
    const { body } = await support('GET', '/v1/admin/alarms');
    const idOf = (kind: string): string => body.data.find((one: { kind: string }) => one.kind === kind).id;
    const end = (id: string): Promise<Answer> => support('POST', `/v1/admin/alarms/${id}/end`, { reason: 'ticket 10' });
    expect((await end(idOf('anchor.suspect'))).body.code).toBe('TRANSITION_NOT_ALLOWED');
    expect((await end(idOf('topic.gap'))).body.data.map((one: { kind: string }) => one.kind)).toEqual([
      'anchor.suspect',
    ]);
    expect((await end(idOf('topic.gap'))).body.detail).toContain('over');
    expect((await end('99999999')).status).toBe(404);
    const { rows } = await db().query(
      `SELECT subject, detail ->> 'reason' AS reason FROM audit WHERE action = 'alarm.ended'`,
    );
    expect(rows).toEqual([{ subject: 'topic:x:0.0.1:7', reason: 'ticket 10' }]);
  });
});

describe('the anchor of a proof', () => {
  it('names its network in words, its link and what it cost each proof', async () => {
    const [proof] = (await seedQueuedProofs(server.database.pool('proofline_owner'), 4, tenant)).proofIds;
    expect((await owner('GET', `/v1/proofs/${proof}/anchor`)).body.code).toBe('NOT_READY');
    const size = await coverLeaves(db(), { origin: TEST_ORIGIN, anchor: 'VERIFIED' });
    await db().query('UPDATE anchors SET fee_tinybars = 1000, new_leaves = 3');
    const { status, body } = await owner('GET', `/v1/proofs/${proof}/anchor`);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      size: `${size}`,
      state: 'VERIFIED',
      ledger: {
        network: 'simulator',
        notice: expect.stringContaining('proves nothing to others'),
        explorerUrl: `https://explorer.test/simulator/transaction/${size}.000000000`,
      },
      cost: { feeTinybars: '1000', sharedBy: '3', tinybarsPerProof: '333.3334' },
    });
    const stranger = clientOf(server.url, (await seedTenant(db())).apiKey);
    expect((await stranger('GET', `/v1/proofs/${proof}/anchor`)).status).toBe(404);
  });
});

describe('how a tenant is anchored', () => {
  const path = () => `/v1/admin/tenants/${tenant.tenantId}/anchoring`;

  it('is set by the platform, audited, and taken over by the next submission and its batch', async () => {
    const submit = async (text: string): Promise<Answer> => owner('POST', '/v1/proofs', { digest: digestOf(text) });
    await submit('before');
    const set = await admin('POST', path(), { window: 'economy', policy: 'REQUIRED', reason: 'contract 12' });
    expect([set.status, set.body]).toEqual([
      200,
      { window: 'economy', policy: 'REQUIRED', deadlineMs: 600_000, mayWeaken: true },
    ]);
    expect((await submit('after')).status).toBe(202);
    while (
      (await formBatch(db(), { newId: () => crypto.randomUUID(), now: clock.nowMicros(), maxUnsealed: 8 })) === 'formed'
    );
    const { rows } = await db().query(
      `SELECT b.anchor_window AS "window", b.anchor_policy AS policy, b.proof_count AS proofs FROM batches b
       WHERE EXISTS (SELECT FROM submissions s WHERE s.batch_id = b.id AND s.tenant_id = $1 AND s.api_key_id = $2) ORDER BY b.formed_at`,
      [tenant.tenantId, tenant.apiKeyId],
    );
    expect(rows).toEqual([
      { window: 'express', policy: 'PREFERRED', proofs: 1 },
      { window: 'economy', policy: 'REQUIRED', proofs: 1 },
    ]);
    const { rows: audit } = await db().query(
      `SELECT tenant_id, detail FROM audit WHERE action = 'tenant.anchoring.set'`,
    );
    expect(audit).toEqual([
      {
        tenant_id: tenant.tenantId,
        detail: { reason: 'contract 12', window: 'economy', policy: 'REQUIRED', deadlineMs: 600_000, mayWeaken: true },
      },
    ]);
    expect(await findAuditBreak(db())).toBeUndefined();
  });

  it('is refused to tenants and support, for unknown tenants, windows and empty changes', async () => {
    const body = { window: 'standard', reason: 'x' };
    for (const call of [owner, support, auditor]) expect((await call('POST', path(), body)).status).toBe(403);
    const unknown = '/v1/admin/tenants/00000000-0000-4000-8000-000000000000/anchoring';
    expect((await admin('POST', unknown, body)).status).toBe(404);
    expect((await admin('GET', unknown)).status).toBe(404);
    for (const bad of [{ reason: 'x' }, { ...body, window: 'weekly' }, { ...body, deadlineMs: -1 }])
      expect((await admin('POST', path(), bad)).status).toBe(400);
  });
});
