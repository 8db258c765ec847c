import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type SeededTenant, seedOperatorKey, seedTenant } from '../test/support/seed.ts';
import { ROUTES } from './app.ts';
import type { Route } from './route.ts';
import { type Answer, type Call, clientOf } from './test-client.ts';
import { startTestServer, type TestServer } from './test-server.ts';

let server: TestServer;
let tenant: SeededTenant;
let call: Call;
let now = Date.parse('2030-01-01T00:00:00Z');
const clock = {
  nowMs: () => now,
  nowMicros: () => {
    now += 1;
    return new Date(now).toISOString().replace('Z', '000Z');
  },
};

beforeAll(async () => {
  server = await startTestServer({ clock, burst: 60 });
  tenant = await seedTenant(server.database.pool('proofline_worker'));
  call = clientOf(server.url, tenant.apiKey);
});
afterAll(() => server.stop());

const worker = () => server.database.pool('proofline_worker');
const digest = { alg: 'sha-256', value: 'a'.repeat(64) };
const BODIES: Record<NonNullable<Route['body']>, { body: unknown; type: string }> = {
  proof: { body: { digest }, type: 'application/json' },
  submission: { body: { proofs: [{ digest }] }, type: 'application/json' },
  bundle: { body: { bundle: {} }, type: 'application/json' },
  pdf: { body: { pdf: '' }, type: 'application/json' },
  grant: { body: 'a.b.c', type: 'application/jose' },
  command: { body: { reason: 'a test' }, type: 'application/json' },
  change: { body: { parent: randomUUID() }, type: 'application/json' },
  commands: { body: { verb: 'cancel', reason: 'a test', proofs: [randomUUID()] }, type: 'application/json' },
};
const pathOf = (route: Route, id: string): string => route.path.replace('{id}', id).replaceAll(/\{[a-z0-9]+\}/g, '0');
const ask = (send: Call, route: Route, id: string, headers = {}): Promise<Answer> => {
  const body = route.body === undefined ? undefined : BODIES[route.body];
  return send(route.method.toUpperCase(), pathOf(route, id), body?.body, {
    ...(body === undefined ? {} : { 'content-type': body.type }),
    ...headers,
  });
};
const guarded = ROUTES.filter(({ access }) => typeof access === 'object');

describe('every guarded route', () => {
  it.each([
    ['no key', {}],
    ['another scheme', { authorization: 'Basic eDp5' }],
    ['a key that is no key', { authorization: 'Bearer x' }],
    ['a well-formed key that nobody has', { authorization: `Bearer pl_test_${'0'.repeat(39)}` }],
  ])('answers 401 to %s', async (_name, headers) => {
    for (const route of guarded) {
      const { status, body, headers: said } = await ask(clientOf(server.url), route, randomUUID(), headers);
      expect({ path: route.path, status, code: body.code }).toEqual({
        path: route.path,
        status: 401,
        code: 'UNAUTHENTICATED',
      });
      expect(said.get('www-authenticate')).toContain('Bearer');
    }
  });

  it('answers 403 to a key without its scope and to an operator without a role', async () => {
    const bare = clientOf(server.url, (await seedTenant(worker(), { scopes: ['none'] })).apiKey);
    const operator = clientOf(server.url, await seedOperatorKey(worker(), ['NOBODY']));
    for (const route of guarded) {
      for (const send of [bare, operator]) {
        const { status, body } = await ask(send, route, randomUUID());
        expect({ path: route.path, status, code: body.code }).toEqual({
          path: route.path,
          status: 403,
          code: 'FORBIDDEN',
        });
      }
    }
  });

  it('answers a foreign id with the bytes of an unknown one', async () => {
    const { body: proof } = await call('POST', '/v1/proofs', { digest });
    const scopes = ['proofs:write', 'proofs:read', 'verify', 'licenses:read', 'licenses:import', 'org:manage'];
    const stranger = clientOf(server.url, (await seedTenant(worker(), { scopes })).apiKey);
    const headers = { 'x-request-id': 'the-same' };
    // Routes of operators alone answer 403 to a tenant's key, whatever the id.
    const open = guarded.filter(({ access }) => typeof access === 'object' && access.scope !== undefined);
    for (const route of open.filter(({ path }) => path.includes('{id}'))) {
      const own = route.path.startsWith('/v1/submissions') ? proof.submission : proof.id;
      const foreign = await ask(stranger, route, own, headers);
      const unknown = await ask(stranger, route, randomUUID(), headers);
      const malformed = await ask(stranger, route, 'no-id', headers);
      expect({ path: route.path, status: foreign.status, code: foreign.body.code }).toEqual({
        path: route.path,
        status: 404,
        code: 'NOT_FOUND',
      });
      expect([unknown.text, malformed.text]).toEqual([foreign.text, foreign.text]);
      const headersOf = (answer: Answer): unknown => [...answer.headers].filter(([name]) => name !== 'date');
      expect(headersOf(unknown)).toEqual(headersOf(foreign));
    }
    const usage = (id: string): Promise<Answer> =>
      stranger('GET', `/v1/admin/licenses/usage?tenant_id=${id}`, undefined, headers);
    expect((await usage(tenant.tenantId)).text).toBe((await usage(randomUUID())).text);
  });
});

describe('a key', () => {
  it('is refused once it is revoked or expired', async () => {
    for (const column of ['revoked_at', 'expires_at']) {
      const other = await seedTenant(worker());
      const send = clientOf(server.url, other.apiKey);
      expect((await send('GET', '/v1/proofs')).status).toBe(200);
      await worker().query(`UPDATE api_keys SET ${column} = '2029-12-31' WHERE id = $1`, [other.apiKeyId]);
      expect((await send('GET', '/v1/proofs')).status).toBe(401);
    }
  });

  it('of a suspended tenant or a closed unit submits nothing, and its neighbours in the group do', async () => {
    const suspended = await seedTenant(worker());
    const closed = await seedTenant(worker());
    await worker().query('UPDATE tenants SET suspended_at = now() WHERE id = $1', [suspended.tenantId]);
    await worker().query('UPDATE org_units SET closed_at = now() WHERE id = $1', [closed.orgUnitId]);
    const keys = [suspended.apiKey, tenant.apiKey, closed.apiKey, tenant.apiKey];
    const answers = await Promise.all(keys.map((key) => clientOf(server.url, key)('POST', '/v1/proofs', { digest })));
    expect(answers.map(({ status, body }) => [status, body.code])).toEqual([
      [403, 'TENANT_SUSPENDED'],
      [202, undefined],
      [403, 'ORG_UNIT_CLOSED'],
      [202, undefined],
    ]);
  });
});

describe('every answer', () => {
  it('echoes a well-formed request id and trace, and makes a request id otherwise', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const { headers } = await call('GET', '/v1/proofs', undefined, { 'x-request-id': 'mine.1', traceparent });
    expect([headers.get('x-request-id'), headers.get('traceparent')]).toEqual(['mine.1', traceparent]);
    const other = await call('GET', '/v1/proofs', undefined, {
      'x-request-id': 'not well formed',
      traceparent: 'nonsense',
    });
    expect(other.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(other.headers.get('traceparent')).toBeNull();
  });

  it('is a problem for unknown paths and methods, with what is allowed', async () => {
    for (const path of [
      '/',
      '/v1',
      '/v1/proofs/',
      '/V1/proofs',
      '/v1/proofs/%ff',
      '/log/tile/0',
      '/docs/package.json',
    ]) {
      const { status, body } = await call('GET', path);
      expect({ path, status, code: body.code }).toEqual({ path, status: 404, code: 'NOT_FOUND' });
    }
    for (const [method, path, allow] of [
      ['DELETE', '/v1/proofs', 'HEAD, POST, GET'],
      ['POST', `/v1/proofs/${randomUUID()}`, 'HEAD, GET'],
      ['PUT', '/log/checkpoint', 'HEAD, GET'],
      ['OPTIONS', '/v1/submissions', 'POST'],
    ] as const) {
      const { status, body, headers } = await call(method, path);
      expect({ path, status, code: body.code, allow: headers.get('allow') }).toEqual({
        path,
        status: 405,
        code: 'METHOD_NOT_ALLOWED',
        allow,
      });
    }
  });

  it('to HEAD is that of GET without its body', async () => {
    const head = await call('HEAD', '/v1/proofs');
    const get = await call('GET', '/v1/proofs');
    expect([head.status, head.text, head.headers.get('content-length')]).toEqual([
      200,
      '',
      get.headers.get('content-length'),
    ]);
  });

  it('is counted by route template and status, without ids', async () => {
    await call('GET', `/v1/proofs/${randomUUID()}`);
    const text = await server.metrics.registry.metrics();
    expect(text).toMatch(
      /proofline_http_request_duration_seconds_count\{method="GET",route="\/v1\/proofs\/:id",status="404"\} [1-9]/,
    );
    expect(text).not.toMatch(/route="[^"]*[0-9a-f]{8}-/);
    expect(text).not.toContain('pl_test_');
  });
});

describe('the public verification routes', () => {
  it('tell the limit, refuse beyond it, and recover with time', async () => {
    const send = (): Promise<Answer> => clientOf(server.url)('GET', `/v1/verify/${randomUUID()}`);
    now += 60_000;
    const first = await send();
    expect(first.status).toBe(404);
    expect(first.headers.get('ratelimit-policy')).toBe('"verify";q=60;w=60');
    expect(first.headers.get('ratelimit')).toBe('"verify";r=59;t=1');
    const rest = await Promise.all(Array.from({ length: 65 }, send));
    const refused = rest.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0]?.body.code).toBe('RATE_LIMITED');
    expect(Number(refused[0]?.headers.get('retry-after'))).toBeGreaterThan(0);
    now += 2_000;
    expect((await send()).status).toBe(404);
  });
});

describe('the documentation', () => {
  it('comes from this server alone and names every problem', async () => {
    const page = await call('GET', '/docs');
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    const files = [...page.text.matchAll(/(?:href|src)="([^"]+)"/g)].map(([, file]) => file ?? '');
    expect(files).toEqual(['/docs/swagger-ui.css', '/docs/swagger-ui-bundle.js', '/docs/start.js']);
    for (const file of [...files, '/docs/openapi.yaml']) expect((await call('GET', file)).status).toBe(200);
    const { body } = await call('GET', `/v1/proofs/${randomUUID()}`);
    expect((await call('GET', '/docs/problems')).text).toContain(`id="${body.type.split('#')[1]}"`);
  });
});

describe('importing a grant', () => {
  const importing = async (state: string, code: string | null): Promise<Answer> => {
    const operator = clientOf(server.url, await seedOperatorKey(worker()));
    const jws = `${Buffer.from(randomUUID()).toString('base64url')}.b.c`;
    const answer = operator('POST', '/v1/admin/licenses', jws, { 'content-type': 'application/jose' });
    // As the workflow would, once it finds the request.
    for (;;) {
      const { rowCount } = await worker().query(
        "UPDATE licence_imports SET state = $2, code = $3, detail = 'as expected', finished_at = now() WHERE jws = $1 AND state = 'PENDING'",
        [jws, state, code],
      );
      if (rowCount === 1) return answer;
    }
  };

  it('answers with what it changed once it is applied, and with the code of a refusal', async () => {
    expect(await importing('APPLIED', null)).toMatchObject({ status: 200, body: { state: 'APPLIED' } });
    const refused = await importing('REFUSED', 'GRANT_SIGNATURE_INVALID');
    expect(refused).toMatchObject({ status: 422, body: { code: 'GRANT_SIGNATURE_INVALID', detail: 'as expected' } });
  });

  it('whose worker is away answers 202 with where its outcome will be, a refusal and the diff of a dry run too', async () => {
    const operator = clientOf(server.url, await seedOperatorKey(worker()));
    const jws = `${Buffer.from(randomUUID()).toString('base64url')}.b.c`;
    const type = { 'content-type': 'application/jose' };
    const { status, body, headers } = await operator('POST', '/v1/admin/licenses?dryRun=true', jws, type);
    expect([status, body.state]).toEqual([202, 'PENDING']);
    const path = headers.get('location') ?? '';
    expect(path).toBe(`/v1/admin/licenses/imports/${body.id}`);
    expect((await operator('GET', path)).body).toEqual(body);
    const end = 'UPDATE licence_imports SET state = $2, code = $3, diff = $4, finished_at = now() WHERE id = $1';
    await worker().query(end, [body.id, 'REFUSED', 'GRANT_SEQ_TAKEN', null]);
    const refused = await operator('GET', path);
    expect([refused.status, refused.body]).toMatchObject([200, { state: 'REFUSED', code: 'GRANT_SEQ_TAKEN' }]);
    await worker().query(end, [body.id, 'UNCHANGED', null, { grantId: 'g1' }]);
    expect((await operator('GET', path)).body).toMatchObject({ dryRun: true, diff: { grantId: 'g1' } });

    expect((await call('GET', path)).body.code).toBe('FORBIDDEN');
    const importer = await seedTenant(worker(), { scopes: ['licenses:import'] });
    expect((await clientOf(server.url, importer.apiKey)('GET', path)).body.code).toBe('NOT_FOUND');
  });

  it('owes the start of its workflow in the same transaction', async () => {
    await importing('APPLIED', null);
    const { rows } = await worker().query("SELECT count(*)::int AS n FROM outbox WHERE name = 'importLicense'");
    expect(rows[0].n).toBeGreaterThan(0);
  });

  it('shows a tenant its grants and use, and an operator those of the tenant named', async () => {
    const operator = clientOf(server.url, await seedOperatorKey(worker(), ['AUDITOR']));
    for (const answer of [
      await call('GET', '/v1/admin/licenses'),
      await operator('GET', `/v1/admin/licenses?tenant_id=${tenant.tenantId}`),
    ])
      expect([answer.status, answer.body]).toEqual([200, { data: [], next: null }]);
    expect((await call('GET', '/v1/admin/licenses/usage')).body).toMatchObject({
      waiting: 0,
      waitingByUnit: [],
      periods: [],
    });
    expect((await operator('GET', '/v1/admin/licenses')).body.code).toBe('REQUEST_INVALID');
  });
});
