import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parseDisclosure } from '../domain/disclosure.ts';
import { type SeededTenant, seedOperatorKey, seedTenant } from '../test/support/seed.ts';
import { type Answer, type Call, clientOf, digestOf } from './test-client.ts';
import { startTestServer, type TestServer } from './test-server.ts';

let server: TestServer;
let tenant: SeededTenant;
let call: Call;

beforeAll(async () => {
  server = await startTestServer();
  tenant = await seedTenant(server.database.pool('proofline_worker'));
  call = clientOf(server.url, tenant.apiKey);
});
afterAll(() => server.stop());

const anotherTenant = (options = {}): Promise<SeededTenant> =>
  seedTenant(server.database.pool('proofline_worker'), options);
const countOf = async (table: string, where: string, values: unknown[]): Promise<number> =>
  Number(
    (await server.database.pool('proofline_worker').query(`SELECT count(*) AS n FROM ${table} WHERE ${where}`, values))
      .rows[0].n,
  );

describe('submitting a proof', () => {
  it('accepts a digest, tells where to read it and when each stage is due', async () => {
    const { status, headers, body } = await call('POST', '/v1/proofs', {
      digest: digestOf('a'),
      reference: 'invoice 7',
      metadata: { lot: 3 },
    });
    expect(status).toBe(202);
    expect(headers.get('location')).toBe(`/v1/proofs/${body.id}`);
    expect(body).toMatchObject({
      state: 'RECEIVED',
      digest: digestOf('a'),
      reference: 'invoice 7',
      certifiedAt: null,
      earlier: [],
    });
    expect(body.stages.map((stage: { stage: string }) => stage.stage)).toEqual([
      'seal',
      'timestamp',
      'anchor',
      'licence',
      'certificate',
    ]);
    expect(body.stages.every((stage: { eta: string }) => stage.eta > body.receivedAt)).toBe(true);
    expect(body.links.bundle).toBe(`https://proofline.test/v1/proofs/${body.id}/bundle`);
    const again = await call('GET', `/v1/proofs/${body.id}`);
    expect({ status: again.status, body: again.body }).toEqual({ status: 200, body });
  });

  it('leaves proof, submission, timeline, event and queue rows of one transaction', async () => {
    const { body } = await call('POST', '/v1/proofs', { digest: digestOf('rows'), metadata: { a: 1 } });
    const submission = [body.submission];
    expect(
      await countOf(
        'proofs',
        'submission_id = $1 AND metadata_salt IS NOT NULL AND reference_salt IS NULL',
        submission,
      ),
    ).toBe(1);
    expect(await countOf('timeline', "submission_id = $1 AND state = 'RECEIVED'", submission)).toBe(1);
    expect(await countOf('events', "submission_id = $1 AND type = 'proof.received'", submission)).toBe(1);
    expect(await countOf('submission_queue', 'submission_id = $1 AND proof_count = 1', submission)).toBe(1);
  });

  it('takes the same digest again as a new proof that names the earlier ones, newest first', async () => {
    const first = (await call('POST', '/v1/proofs', { digest: digestOf('twice') })).body;
    const second = (await call('POST', '/v1/proofs', { digest: digestOf('twice') })).body;
    const third = (await call('POST', '/v1/proofs', { digest: digestOf('twice') })).body;
    expect([first.earlier, second.earlier, third.earlier]).toEqual([[], [first.id], [second.id, first.id]]);
    expect((await call('GET', `/v1/proofs/${third.id}`)).body.earlier).toEqual([second.id, first.id]);
  });

  it('keeps the deadline of a preferred anchor, and none for the other policies', async () => {
    const other = await anotherTenant({ anchorDeadlineMs: 90_000 });
    const send = clientOf(server.url, other.apiKey);
    const deadline = async (policy: string): Promise<unknown> => {
      const { body } = await send('POST', `/v1/submissions?anchorPolicy=${policy}`, {
        proofs: [{ digest: digestOf(policy) }],
      });
      return body.anchorDeadline === null ? null : Date.parse(body.anchorDeadline) - Date.parse(body.receivedAt);
    };
    expect([await deadline('PREFERRED'), await deadline('REQUIRED'), await deadline('NONE')]).toEqual([
      90_000,
      null,
      null,
    ]);
  });

  it('lets a submission strengthen the anchor policy, and weaken it only where the tenant allows', async () => {
    const strict = await anotherTenant({ anchorPolicy: 'PREFERRED', mayWeakenAnchorPolicy: false });
    const send = clientOf(server.url, strict.apiKey);
    expect((await send('POST', '/v1/proofs?anchorPolicy=REQUIRED', { digest: digestOf('p') })).status).toBe(202);
    const weaker = await send('POST', '/v1/proofs?anchorPolicy=NONE', { digest: digestOf('p') });
    expect({ status: weaker.status, code: weaker.body.code }).toEqual({
      status: 403,
      code: 'ANCHOR_POLICY_NOT_ALLOWED',
    });
  });

  it('shares inserts among requests that arrive together, and each gets its own proof', async () => {
    const before = server.groups.length;
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) => call('POST', '/v1/proofs', { digest: digestOf(`group ${i}`) })),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(100).fill(202));
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(100);
    const groups = server.groups.slice(before);
    expect(groups.reduce((sum, group) => sum + group.proofs, 0)).toBe(100);
    expect(groups.length).toBeLessThan(100);
  });
});

describe('an idempotency key', () => {
  const key = (): Record<string, string> => ({ 'idempotency-key': randomUUID() });

  it('gives the same proof as it stands now for the same body, whatever the order of its members', async () => {
    const headers = key();
    const first = await call(
      'POST',
      '/v1/proofs',
      `{"digest":${JSON.stringify(digestOf('k'))},"reference":"r"}`,
      headers,
    );
    const again = await call(
      'POST',
      '/v1/proofs',
      `{ "reference": "r", "digest": ${JSON.stringify(digestOf('k'))} }`,
      headers,
    );
    expect([first.status, again.status]).toEqual([202, 200]);
    expect(first.headers.get('idempotent-replayed')).toBeNull();
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect(again.headers.get('location')).toBe(first.headers.get('location'));
    expect(again.body).toEqual(first.body);
  });

  it('is refused with another body or another parameter, and nothing is accepted', async () => {
    const headers = key();
    await call('POST', '/v1/proofs', { digest: digestOf('k1') }, headers);
    for (const [path, body] of [
      ['/v1/proofs', { digest: digestOf('k2') }],
      ['/v1/proofs?anchorPolicy=REQUIRED', { digest: digestOf('k1') }],
    ] as const) {
      const answer = await call('POST', path, body, headers);
      expect({ status: answer.status, code: answer.body.code }).toEqual({
        status: 422,
        code: 'IDEMPOTENCY_KEY_REUSED',
      });
    }
    expect(await countOf('submissions', 'idempotency_key = $1', [headers['idempotency-key']])).toBe(1);
  });

  it('yields one submission for many twins at once', async () => {
    const headers = key();
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => call('POST', '/v1/proofs', { digest: digestOf('twins') }, headers)),
    );
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    expect(answers.filter(({ status }) => status === 202)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(19);
    expect(
      await countOf('proofs', 'tenant_id = $1 AND digest = $2', [
        tenant.tenantId,
        Buffer.from(digestOf('twins').value, 'hex'),
      ]),
    ).toBe(1);
  });

  it('of one tenant says nothing to another', async () => {
    const headers = key();
    const other = await anotherTenant();
    const mine = await call('POST', '/v1/proofs', { digest: digestOf('x') }, headers);
    const theirs = await clientOf(server.url, other.apiKey)('POST', '/v1/proofs', { digest: digestOf('x') }, headers);
    expect([mine.status, theirs.status]).toEqual([202, 202]);
    expect(theirs.body.earlier).toEqual([]);
  });

  it('of more than 255 characters is refused', async () => {
    const answer = await call('POST', '/v1/proofs', { digest: digestOf('x') }, { 'idempotency-key': 'k'.repeat(256) });
    expect({ status: answer.status, code: answer.body.code }).toEqual({
      status: 400,
      code: 'IDEMPOTENCY_KEY_MALFORMED',
    });
  });
});

describe('listing proofs', () => {
  it('walks every page once, newest first, and finds by digest, reference and state', async () => {
    const other = await anotherTenant();
    const send = clientOf(server.url, other.apiKey);
    const proofs = Array.from({ length: 25 }, (_, i) => ({ digest: digestOf(`list ${i}`), reference: `ref ${i}` }));
    const { body: submission } = await send('POST', '/v1/submissions', { proofs });
    const seen: string[] = [];
    let next: string | null = null;
    do {
      const cursor: string = next === null ? '' : `&cursor=${next}`;
      const page: Answer = await send('GET', `/v1/proofs?limit=10${cursor}`);
      seen.push(...page.body.data.map(({ id }: { id: string }) => id));
      next = page.body.next;
    } while (next !== null);
    expect(seen).toHaveLength(25);
    expect(new Set(seen)).toEqual(new Set(submission.items.map(({ id }: { id: string }) => id)));
    for (const query of [`digest=${digestOf('list 3').value}`, 'reference=ref%203']) {
      const found = await send('GET', `/v1/proofs?${query}`);
      expect(found.body.data.map(({ reference }: { reference: string }) => reference)).toEqual(['ref 3']);
    }
    expect((await send('GET', '/v1/proofs?state=SEALED')).body).toEqual({ data: [], next: null });
  });

  it('refuses a cursor that it did not write', async () => {
    const cursors = [
      'x',
      'bm9uc2Vuc2U',
      Buffer.from('1 2026-13-01T00:00:00.000000Z 00000000-0000-4000-8000-000000000000').toString('base64url'),
      Buffer.from('1 2026-02-30T00:00:00.000000Z 00000000-0000-4000-8000-000000000000').toString('base64url'),
      Buffer.from('1 0000-01-01T00:00:00.000000Z 00000000-0000-4000-8000-000000000000').toString('base64url'),
      '%00',
    ];
    for (const cursor of cursors) {
      const { status, body } = await call('GET', `/v1/proofs?cursor=${cursor}`);
      expect({ cursor, status, code: body.code }).toEqual({ cursor, status: 400, code: 'CURSOR_MALFORMED' });
    }
  });

  it('refuses parameters that it does not have', async () => {
    for (const query of [
      'limit=0',
      'limit=101',
      'state=DONE',
      'digest=zz',
      'colour=red',
      'reference=%00',
      'state=SEALED&state=RECEIVED',
    ]) {
      const { status, body } = await call('GET', `/v1/proofs?${query}`);
      expect({ query, status, code: body.code }).toEqual({ query, status: 400, code: 'REQUEST_INVALID' });
      expect(body.errors.length).toBeGreaterThan(0);
    }
  });
});

describe('reading a proof', () => {
  const certify = async (id: string): Promise<void> => {
    const worker = server.database.pool('proofline_worker');
    await worker.query("UPDATE proofs SET state = 'CANCELLED' WHERE id = $1", [id]);
    await worker.query("SELECT pg_notify('proofline_done', '')");
  };

  it('shows its timeline', async () => {
    const { body } = await call('POST', '/v1/proofs', { digest: digestOf('timeline') });
    const timeline = await call('GET', `/v1/proofs/${body.id}/timeline`);
    expect(timeline.body).toEqual({
      data: [{ state: 'RECEIVED', at: body.receivedAt, changesState: true, detail: null }],
      next: null,
    });
  });

  it('waits with `wait` until it has ended, many waiters on few connections', async () => {
    const { body } = await call('POST', '/v1/proofs', { digest: digestOf('wait') });
    const waiting = Array.from({ length: 50 }, (_, i) =>
      call('GET', i % 2 === 0 ? `/v1/proofs/${body.id}?wait=20` : `/v1/submissions/${body.submission}?wait=20`),
    );
    const startedAt = Date.now();
    // Every waiter has looked once and found it unfinished before it ends.
    const gauge = async (): Promise<number> => (await server.metrics.waiters.get()).values[0]?.value ?? 0;
    while ((await gauge()) < 50) await new Promise((resolve) => setImmediate(resolve));
    await certify(body.id);
    const answers = await Promise.all(waiting);
    expect(Date.now() - startedAt).toBeLessThan(10_000);
    expect(new Set(answers.map((answer) => answer.body.state ?? answer.body.final))).toEqual(
      new Set(['CANCELLED', true]),
    );
    expect(server.database.pool('proofline_api').totalCount).toBeLessThanOrEqual(10);
    expect(await gauge()).toBe(0);
  });

  it('answers at the end of `wait` with what there is, and refuses more than 30 seconds', async () => {
    const { body } = await call('POST', '/v1/proofs', { digest: digestOf('wait 1') });
    expect((await call('GET', `/v1/proofs/${body.id}?wait=1`)).body.state).toBe('RECEIVED');
    expect((await call('GET', `/v1/proofs/${body.id}?wait=31`)).body.code).toBe('REQUEST_INVALID');
  });

  it('gives the owner reference and metadata with the salts of their digests, and no operator', async () => {
    const metadata = { amount: 12.5, tags: ['a', 'ü'], nested: { z: null, a: true } };
    const { body } = await call('POST', '/v1/proofs', { digest: digestOf('owned'), reference: 'Ref 1', metadata });
    const { status, headers, text } = await call('GET', `/v1/proofs/${body.id}/disclosure`);
    expect({ status, cache: headers.get('cache-control') }).toEqual({ status: 200, cache: 'private, no-store' });
    const disclosure = parseDisclosure(text);
    expect(disclosure).toMatchObject({ reference: 'Ref 1', metadata });
    expect(disclosure.referenceSalt).not.toBe(disclosure.metadataSalt);
    const worker = server.database.pool('proofline_worker');
    const operator = clientOf(server.url, await seedOperatorKey(worker, ['PLATFORM_ADMIN', 'SUPPORT_OPERATOR']));
    expect((await operator('GET', `/v1/proofs/${body.id}/disclosure`)).body.code).toBe('FORBIDDEN');
    const { body: bare } = await call('POST', '/v1/proofs', { digest: digestOf('bare') });
    expect((await call('GET', `/v1/proofs/${bare.id}/disclosure`)).body).toEqual({});
  });

  it('says NOT_READY for evidence that does not exist yet', async () => {
    const { body } = await call('POST', '/v1/proofs', { digest: digestOf('not ready') });
    for (const part of ['bundle', 'receipt', 'certificate']) {
      const { status, headers, body: problem } = await call('GET', `/v1/proofs/${body.id}/${part}`);
      expect({ part, status, code: problem.code, after: headers.get('retry-after') }).toEqual({
        part,
        status: 409,
        code: 'NOT_READY',
        after: '2',
      });
    }
  });

  it('shows an operator the workflow of the batch and its link, and a tenant neither', async () => {
    const { body } = await call('POST', '/v1/proofs', { digest: digestOf('operations') });
    const batch = randomUUID();
    const worker = server.database.pool('proofline_worker');
    await worker.query(
      "INSERT INTO batches (id, anchor_policy, anchor_window, proof_count, generation, formed_at) VALUES ($1, 'NONE', 'express', 1, 2, now())",
      [batch],
    );
    await worker.query('UPDATE submissions SET batch_id = $1 WHERE id = $2', [batch, body.submission]);
    const operator = clientOf(server.url, await seedOperatorKey(worker, ['SUPPORT_OPERATOR']));
    const expected = {
      workflowId: `batch:${batch}:2`,
      workflowUrl: `https://temporal.test/namespaces/default/workflows/batch%3A${batch}%3A2`,
    };
    expect((await operator('GET', `/v1/proofs/${body.id}`)).body.operations).toEqual(expected);
    expect((await operator('GET', `/v1/submissions/${body.submission}`)).body.operations).toEqual(expected);
    expect((await call('GET', `/v1/proofs/${body.id}`)).body.operations).toBeUndefined();
  });
});
