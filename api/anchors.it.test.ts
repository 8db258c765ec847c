import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { systemClock } from '../domain/clock.ts';
import { abandonSuspect, allowRetry, readPendingCommand, refuseAnchorCommand } from '../store/anchor-commands.ts';
import { findAuditBreak } from '../store/audit.ts';
import { formBatch } from '../store/form-batch.ts';
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
        {
          kind: 'hedera-contract/v1',
          network: 'simulator',
          contractId: '0.0.1005',
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
  server.database
    .pool('proofline_owner')
    .query(
      'TRUNCATE anchors, anchor_attempts, contract_anchors, contract_attempts, anchor_commands, alarms, outbox CASCADE',
    ),
);

const db = () => server.database.pool('proofline_worker');

/** What differs between the media: rows, routes, and the workflow that an audit entry names. */
const MEDIA = [
  {
    medium: 'hcs',
    path: '/v1/admin/anchors',
    workflow: 'anchor',
    anchors: 'anchors',
    attempts: 'anchor_attempts',
    own: { column: '"window"', value: 'express' },
    shown: { window: 'express' },
  },
  {
    medium: 'contract',
    path: '/v1/admin/contract-anchors',
    workflow: 'anchor-contract',
    anchors: 'contract_anchors',
    attempts: 'contract_attempts',
    own: { column: 'carries_proofs', value: 'true' },
    shown: { carriesProofs: true },
  },
] as const;
type Medium = (typeof MEDIA)[number];

async function seedAnchor({ anchors, attempts, own }: Medium, size: number, state: string): Promise<void> {
  const failure = JSON.stringify({ status: 'WHY' });
  const now = clock.nowMicros();
  await db().query(
    `INSERT INTO ${anchors} (origin, size, ${own.column}, state, attempt, failure, created_at, updated_at) VALUES ($1, $2, $3, $4, 1, $5, $6, $6)`,
    [TEST_ORIGIN, size, own.value, state, failure, now],
  );
  await db().query(
    `INSERT INTO ${attempts} (origin, size, attempt, state, transaction_id, prepared, signed_bytes, failure, confirmation, created_at, updated_at)
     VALUES ($1, $2::bigint, 1, $3, '0.0.5@' || $2, '{}', '', $4, '{"mirrors":[{"mirror":"http://m","verdict":"mismatch","detail":"another message"}]}', $5, $5)`,
    [TEST_ORIGIN, size, state === 'PENDING' ? 'FAILED' : state, failure, now],
  );
}

/** Sends a verb and decides it as the anchor's workflow would. */
async function command(
  { medium, path }: Medium,
  send: Call,
  verb: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const answer = send('POST', `${path}/7/${verb}`, body, headers);
  let isAnswered = false;
  void answer.finally(() => {
    isAnswered = true;
  });
  const key = { medium, origin: TEST_ORIGIN, size: 7n };
  while (!isAnswered) {
    const found = await readPendingCommand(db(), key);
    if (found !== undefined) {
      const decision = { ...key, attempt: 1, command: found, now: clock.nowMicros() };
      if (found.verb === 'retry') await allowRetry(db(), { ...decision, isUpdate: false });
      if (found.verb === 'abandon') await abandonSuspect(db(), decision);
      if (found.verb === 'accept')
        await refuseAnchorCommand(db(), { ...decision, code: 'LEDGER_SUSPECT', detail: 'no mirror shows it' });
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  return answer;
}

const DECISION = { decision: 'abandon', reason: 'ticket 9', evidence: 'answers of both mirrors, ticket 9' };

const commandRows = async (): Promise<unknown[]> =>
  (await db().query('SELECT medium, verb, state FROM anchor_commands ORDER BY created_at, id')).rows;

describe.each(MEDIA)('anchors for operators ($medium)', (one) => {
  const { medium, path, workflow, shown } = one;

  it('are retried once rejected: audited, with the signal to the workflow', async () => {
    await seedAnchor(one, 7, 'REJECTED');
    const { status, body } = await command(one, support, 'retry', { reason: 'account filled' });
    expect([status, body.state, body.failure]).toEqual([200, 'REJECTED', null]);
    expect(body).toMatchObject({ ...shown, size: '7' });
    expect(body.commands).toMatchObject([{ verb: 'retry', state: 'APPLIED', reason: 'account filled' }]);
    const { rows } = await db().query('SELECT workflow_id, name FROM outbox');
    expect(rows).toEqual([{ workflow_id: `${workflow}:${TEST_ORIGIN}:7`, name: 'anchorCommanded' }]);
    const { rows: audit } = await db().query(`SELECT action FROM audit WHERE subject = $1 ORDER BY id`, [
      `${workflow}:${TEST_ORIGIN}:7`,
    ]);
    expect(audit).toEqual([{ action: 'anchor.retry.requested' }, { action: 'anchor.retry.applied' }]);
    expect(await findAuditBreak(db())).toBeUndefined();
    const again = await support('POST', `${path}/7/retry`, { reason: 'account filled' });
    expect([again.status, again.body.detail]).toEqual([409, 'retry of an anchor that is being tried again']);
  });

  it('are commanded once under one idempotency key, however often it is sent', async () => {
    await seedAnchor(one, 7, 'REJECTED');
    const headers = { 'idempotency-key': `once-${medium}` };
    const first = await command(one, support, 'retry', { reason: 'x' }, headers);
    const again = await command(one, support, 'retry', { reason: 'x' }, headers);
    expect([first.status, first.headers.get('idempotent-replayed')]).toEqual([200, null]);
    expect([again.status, again.headers.get('idempotent-replayed'), again.text]).toEqual([200, 'true', first.text]);
    const other = await support('POST', `${path}/7/retry`, { reason: 'y' }, headers);
    expect([other.status, other.body.code]).toEqual([422, 'IDEMPOTENCY_KEY_REUSED']);
    // A key is its actor's own.
    expect((await admin('POST', `${path}/7/retry`, { reason: 'x' }, headers)).status).toBe(409);
    const malformed = await support('POST', `${path}/7/retry`, { reason: 'x' }, { 'idempotency-key': 'a b' });
    expect(malformed.body.code).toBe('IDEMPOTENCY_KEY_MALFORMED');
    expect(await commandRows()).toEqual([{ medium, verb: 'retry', state: 'APPLIED' }]);
  });

  it('are resolved when suspect, with the evidence kept', async () => {
    await seedAnchor(one, 7, 'SUSPECT');
    const refused = await command(one, support, 'resolve-suspect', {
      ...DECISION,
      decision: 'accept',
      distrustedMirrors: ['http://m'],
    });
    expect([refused.status, refused.body.code, refused.body.detail]).toEqual([
      409,
      'TRANSITION_NOT_ALLOWED',
      'no mirror shows it',
    ]);
    const { status, body } = await command(one, support, 'resolve-suspect', DECISION);
    expect([status, body.state]).toEqual([200, 'FAILED']);
    expect(body.attempts).toMatchObject([
      { state: 'FAILED', status: 'ABANDONED', mirrors: [{ mirror: 'http://m', verdict: 'mismatch' }] },
    ]);
    expect(body.commands).toMatchObject([
      { verb: 'abandon', state: 'APPLIED', evidence: { statement: DECISION.evidence, distrustedMirrors: [] } },
      { verb: 'accept', state: 'REFUSED', evidence: { distrustedMirrors: ['http://m'] } },
    ]);
    const { rows } = await db().query(
      `SELECT detail ->> 'evidence' AS evidence FROM audit WHERE action = 'anchor.abandon.requested' AND subject = $1`,
      [`${workflow}:${TEST_ORIGIN}:7`],
    );
    expect(rows).toEqual([{ evidence: DECISION.evidence }]);
  });

  it('answer 202 while nobody has decided', async () => {
    await seedAnchor(one, 7, 'REJECTED');
    const { status, body, headers } = await support('POST', `${path}/7/retry`, { reason: 'x' });
    expect([status, headers.get('location'), body.commands[0].state]).toEqual([202, `${path}/7`, 'PENDING']);
  }, 15_000);

  it.each([
    'PENDING',
    'PREPARED',
    'SENT',
    'CONSENSUS',
    'CONFIRMED',
    'EXPIRED',
    'FAILED',
    'VERIFIED',
    'REJECTED',
    'SUSPECT',
  ])('refuse verbs that do not fit %s, and write nothing', async (state) => {
    await seedAnchor(one, 7, state);
    const verbs = [
      ['retry', 'retry', { reason: 'x' }, 'REJECTED'],
      ['accept', 'resolve-suspect', { ...DECISION, decision: 'accept' }, 'SUSPECT'],
      ['abandon', 'resolve-suspect', DECISION, 'SUSPECT'],
    ] as const;
    for (const [verb, route, body, fits] of verbs) {
      if (fits === state) continue;
      const answer = await support('POST', `${path}/7/${route}`, body);
      expect([answer.status, answer.body.code, answer.body.detail]).toEqual([
        409,
        'TRANSITION_NOT_ALLOWED',
        `${verb} of an anchor that is ${state}`,
      ]);
    }
    expect(await commandRows()).toEqual([]);
    expect((await db().query('SELECT FROM outbox')).rowCount).toBe(0);
  });

  it('are 404 with the same bytes when unknown, be there one in the other medium or none', async () => {
    for (const other of MEDIA) if (other !== one) await seedAnchor(other, 8, 'REJECTED');
    const headers = { 'x-request-id': 'the-same' };
    const ask = (method: string, route: string, body?: unknown) => support(method, `${path}/${route}`, body, headers);
    const elsewhere = await ask('POST', '8/retry', { reason: 'x' });
    expect([elsewhere.status, elsewhere.body.code]).toEqual([404, 'NOT_FOUND']);
    for (const answer of [
      await ask('POST', '9/retry', { reason: 'x' }),
      await ask('POST', '8/resolve-suspect', DECISION),
      await ask('GET', '8'),
      await ask('GET', '9'),
    ])
      expect(answer.text).toBe(elsewhere.text);
    expect(await commandRows()).toEqual([]);
  });

  it('are not shown or commanded to whoever may not', async () => {
    await seedAnchor(one, 7, 'SUSPECT');
    for (const call of [owner, auditor]) {
      expect((await call('POST', `${path}/7/resolve-suspect`, DECISION)).status).toBe(403);
      expect((await call('POST', `${path}/7/retry`, { reason: 'x' })).status).toBe(403);
    }
    expect((await owner('GET', path)).status).toBe(403);
    expect((await owner('GET', `${path}/7`)).status).toBe(403);
    expect((await auditor('GET', `${path}/7`)).body).toMatchObject({ ...shown, state: 'SUSPECT', commands: [] });
    expect(await commandRows()).toEqual([]);
  });

  it.each([
    ['no evidence', { decision: 'abandon', reason: 'x' }],
    ['another decision', { ...DECISION, decision: 'forget' }],
    ['a mirror that is no URL', { ...DECISION, distrustedMirrors: ['mirror one'] }],
  ])('refuse a decision with %s', async (_what, body) => {
    await seedAnchor(one, 7, 'SUSPECT');
    expect((await support('POST', `${path}/7/resolve-suspect`, body)).status).toBe(400);
  });

  it('are listed by state, page by page', async () => {
    for (const size of [1, 2, 3]) await seedAnchor(one, size, 'SUSPECT');
    await seedAnchor(one, 4, 'REJECTED');
    const first = await auditor('GET', `${path}?state=SUSPECT&limit=2`);
    expect([first.body.data.map(({ size }: { size: string }) => size), first.body.next]).toEqual([['3', '2'], '2']);
    const second = await auditor('GET', `${path}?state=SUSPECT&limit=2&below=${first.body.next}`);
    expect([second.body.data.map(({ size }: { size: string }) => size), second.body.next]).toEqual([['1'], null]);
  });
});

describe('a contract anchor that stands', () => {
  it('shows its entry, its network in words and its link', async () => {
    const [, contract] = MEDIA;
    await seedAnchor(contract, 7, 'VERIFIED');
    const entry = {
      ledger: 'hedera-contract/v1',
      network: 'simulator',
      contractId: '0.0.1005',
      publisher: `0x${'0'.repeat(37)}3e9`,
      consensusTimestamp: '1795400344.000000001',
      transactionId: '0.0.1001@1795400343.000000001',
      payer: '0.0.1001',
      message: 'pl1|x',
    };
    await db().query('UPDATE contract_anchors SET entry = $1, failure = NULL', [JSON.stringify(entry)]);
    const { ledger, ...parts } = entry;
    expect((await auditor('GET', `${contract.path}/7`)).body.ledger).toEqual({
      ...parts,
      kind: ledger,
      notice: expect.stringContaining('proves nothing to others'),
      explorerUrl: 'https://explorer.test/simulator/transaction/1795400344.000000001',
    });
  });
});

describe('alarms', () => {
  it('are listed, the open ones unless all are asked for', async () => {
    await db().query(
      `INSERT INTO alarms (kind, subject, began_at, ended_at) VALUES ('anchor.suspect', 'a', now(), now()), ('anchor.suspect', 'a', now(), NULL)`,
    );
    expect((await auditor('GET', '/v1/admin/alarms')).body.data).toMatchObject([
      { kind: 'anchor.suspect', endedAt: null },
    ]);
    expect((await auditor('GET', '/v1/admin/alarms?open=false')).body.data).toHaveLength(2);
  });

  it('about anchors and the log end with them alone, while one about a topic ends once somebody has looked', async () => {
    await db().query(
      `INSERT INTO alarms (kind, subject, began_at) VALUES ('anchor.suspect', 'a', now()), ('topic.gap', 'topic:x:0.0.1:7', now()), ('log.rollback', 'log:x', now())`,
    );
    const { body } = await support('GET', '/v1/admin/alarms');
    const idOf = (kind: string): string => body.data.find((one: { kind: string }) => one.kind === kind).id;
    const end = (id: string): Promise<Answer> => support('POST', `/v1/admin/alarms/${id}/end`, { reason: 'ticket 10' });
    expect((await end(idOf('anchor.suspect'))).body.code).toBe('TRANSITION_NOT_ALLOWED');
    expect(await end(idOf('log.rollback'))).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining('once the log goes on') },
    });
    const left = (await end(idOf('topic.gap'))).body.data.map((one: { kind: string }) => one.kind);
    expect(left.sort()).toEqual(['anchor.suspect', 'log.rollback']);
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
      (await formBatch(db(), { newId: () => crypto.randomUUID(), now: clock.nowMicros(), maxUnsealed: 8 })) === 'prompt'
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
