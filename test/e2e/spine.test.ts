import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parseDisclosure } from '../../domain/disclosure.ts';
import { type BaseGrant, GRANT_TYPE, grantHash } from '../../domain/licence/grant.ts';
import { instanceFingerprint, issueGrant, parseIssuerKey } from '../../domain/licence/issuers.ts';
import { localKeyPaths } from '../../local/keys/ensure-local-keys.ts';
import { type Stack, startStack } from '../../local/stack/start-stack.ts';
import { createPool, type Db } from '../../store/pool.ts';
import { openMirror } from '../../verifier/http-mirror.ts';
import { verifyPdf } from '../../verifier/pdf/verify-pdf.ts';
import { verifyBundle } from '../../verifier/verify.ts';
import { type SeededTenant, seedTenant } from '../support/seed.ts';
import { until } from '../support/until.ts';
import { createTestClient, newProof, ok, type ProofView, type SubmissionView, type TestClient } from './client.ts';

let dataDir: string;
let stack: Stack;
let client: TestClient;
let owner: Db;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'proofline-e2e-'));
  stack = await startStack({
    dataDir,
    ports: 'any',
    logLevel: 'warn',
    consensusDelayMs: 30,
    settings: { workers: { PROOFLINE_ANCHOR_WINDOW_EXPRESS_MS: '200', PROOFLINE_TIMESTAMP_WINDOW_MS: '100' } },
  });
  client = createTestClient(stack);
  owner = createPool({ url: stack.info.postgresUrl, max: 2, applicationName: 'e2e', onError: () => undefined });
  await owner.query('UPDATE tenants SET may_weaken_anchor_policy = true');
}, 120_000);

afterAll(async () => {
  await owner?.end();
  await stack?.stop();
  await rm(dataDir, { recursive: true, force: true });
}, 60_000);

const part = (name: string) => {
  const found = stack.parts.get(name);
  if (found === undefined) throw new Error(`no part ${name} among ${[...stack.parts.keys()].join(', ')}`);
  return found;
};

/** A perpetual grant for a tenant, signed by the local issuer. */
async function makeGrant(tenant: SeededTenant, quota: number, changes: Partial<BaseGrant> = {}): Promise<string> {
  const issuer = parseIssuerKey(await readFile(localKeyPaths(join(dataDir, 'keys')).licenseIssuer.keyFile, 'utf8'));
  return issueGrant(
    {
      type: GRANT_TYPE,
      kind: 'BASE',
      grantId: `grant-${tenant.tenantId}`,
      seq: 1,
      tenant: tenant.tenantId,
      instanceFingerprint: instanceFingerprint((await client.trust()).instance),
      term: { type: 'PERPETUAL', anchorDate: '2026-01-01', timeZone: 'UTC' },
      quota,
      allocations: [],
      entitlements: [],
      notBefore: '2026-01-01T00:00:00Z',
      ...changes,
    },
    issuer,
  );
}

/** Imports a grant over the API, as an operator would. */
const importText = (text: string, query = ''): Promise<Response> =>
  client.request('POST', `/v1/admin/licenses${query}`, { text, type: 'application/jose', key: stack.info.operatorKey });

const importGrant = async (tenant: SeededTenant, quota: number): Promise<Response> =>
  importText(await makeGrant(tenant, quota));

/** Waits for the level: lists have to be younger than the signature. */
async function downloadPdf(id: string, level: string): Promise<Uint8Array> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const response = await client.request('GET', `/v1/proofs/${id}/certificate.pdf?level=${level}&wait=30`);
    if (response.status === 200) return new Uint8Array(await response.arrayBuffer());
    if (response.status !== 202 || Date.now() > deadline)
      throw new Error(`certificate.pdf: ${response.status} ${await response.text()}`);
    await response.body?.cancel();
  }
}

describe('one proof', () => {
  it('goes through every stage and verifies offline against the pinned trust file', async () => {
    const proof = await client.submitOne();
    await client.untilState(proof.id, ['CERTIFIED']);
    const states = (await client.timeline(proof.id)).map((step) => step.state);
    expect(states).toEqual(['RECEIVED', 'SEALED', 'TIMESTAMPED', 'ANCHORED', 'CERTIFIED']);
    const { text } = await client.bundle(proof.id);
    expect(text.length).toBeLessThanOrEqual(10_240);
    const result = await verifyBundle(text, {
      trust: await client.trust(),
      digest: proof.digest,
      nowMs: Date.now(),
    });
    expect(result.claims).toMatchObject({
      seal: { verdict: 'valid' },
      timestamp: { verdict: 'valid' },
      certificate: { verdict: 'valid' },
      anchor: { verdict: 'unverified', reason: 'ledger-not-consulted' },
    });
    expect(result.overall).toBe('valid');
  });

  it('has a certificate as PDF that is proven once its revocation lists are in it, to library and API alike', async () => {
    const proof = await client.submitOne();
    await client.untilState(proof.id, ['CERTIFIED']);
    const trust = await client.trust();
    const bundle = (await client.bundle(proof.id)).text;
    const more = { bundle, digest: proof.digest };
    const early = await downloadPdf(proof.id, 'B-T');
    expect(await verifyPdf(early, { trust, nowMs: Date.now(), ...more })).toMatchObject({
      overall: 'unverified',
      level: 'B-T',
      claims: { signature: { verdict: 'valid' }, bundle: { reason: 'bundle-equal' } },
    });
    const pdf = await downloadPdf(proof.id, 'B-LT');
    expect(Buffer.from(pdf.subarray(0, early.length)).equals(early)).toBe(true);
    const result = await verifyPdf(pdf, { trust, nowMs: Date.now(), ...more });
    expect(result).toMatchObject({ overall: 'valid', level: 'B-LT', bundle: { overall: 'valid' } });
    const body = { pdf: Buffer.from(pdf).toString('base64'), ...more };
    expect(await ok(client.request('POST', '/v1/verify/pdf', { body }))).toEqual(result);
  }, 90_000);

  it("has its anchor confirmed live by a mirror of the reader's choice", async () => {
    const proof = await client.submitOne({ anchorPolicy: 'REQUIRED' });
    await client.untilState(proof.id, ['CERTIFIED']);
    const { text } = await client.bundle(proof.id);
    const mirrors = [openMirror(stack.info.hederaMirrorUrl)];
    const result = await verifyBundle(text, { trust: await client.trust(), mirrors, nowMs: Date.now() });
    expect(result.claims.anchor).toMatchObject({ verdict: 'valid' });
  });

  it('is certified without an anchor where the policy asks for none, and gains it later all the same', async () => {
    const proof = await client.submitOne({ anchorPolicy: 'NONE' });
    await client.untilState(proof.id, ['CERTIFIED_NO_ANCHOR']);
    const certificate = (await client.bundle(proof.id)).parsed.certificate;
    const other = await client.submitOne({ anchorPolicy: 'REQUIRED' });
    await client.untilState(other.id, ['CERTIFIED']);
    const { parsed } = await client.bundle(proof.id);
    expect(parsed.anchors).toHaveLength(1);
    expect(parsed.certificate).toBe(certificate);
    expect((await client.untilState(proof.id, ['CERTIFIED_NO_ANCHOR'])).state).toBe('CERTIFIED_NO_ANCHOR');
    expect((await client.timeline(proof.id)).at(-1)).toMatchObject({ state: 'ANCHORED', changesState: false });
  });
});

describe('a bulk', () => {
  it('of 2,500 records is certified, each under its own leaf and certificate, with as few tokens and anchors as windows', async () => {
    const submission = await client.submitMany(2_500);
    expect((await client.untilFinal(submission.id)).states).toEqual({ CERTIFIED: 2_500 });
    const { rows } = await owner.query(
      `SELECT count(*)::int AS proofs, count(DISTINCT l.index)::int AS leaves, count(DISTINCT c.number)::int AS certificates, count(DISTINCT k.proof_id)::int AS units
       FROM proofs p JOIN leaves l ON l.proof_id = p.id JOIN certificates c ON c.proof_id = p.id AND c.signature IS NOT NULL JOIN licence_consumptions k ON k.proof_id = p.id WHERE p.submission_id = $1`,
      [submission.id],
    );
    expect(rows[0]).toEqual({ proofs: 2_500, leaves: 2_500, certificates: 2_500, units: 2_500 });
    const { rows: outside } = await owner.query(
      'SELECT (SELECT count(*)::int FROM timestamps) AS tokens, (SELECT count(*)::int FROM anchors) AS anchors',
    );
    expect(outside[0].tokens + outside[0].anchors).toBeLessThan(200);
  });
});

describe('outages', () => {
  it('are no reason to refuse: with signer, authority, ledger and Temporal stopped the API accepts, and all is certified once they are back', async () => {
    const names = ['signer', 'tsa', 'hedera', 'temporal'];
    await Promise.all(names.map((name) => part(name).stop()));
    const submission = await client.submitMany(50);
    const proof = await client.submitOne();
    expect(proof.state).toBe('RECEIVED');
    await part('signer').start();
    await Promise.all(names.slice(1).map((name) => part(name).start()));
    expect((await client.untilFinal(submission.id, 90_000)).states).toEqual({ CERTIFIED: 50 });
    await client.untilState(proof.id, ['CERTIFIED']);
  }, 150_000);

  it('of the ledger do not hold a PREFERRED proof beyond its deadline, and its bundle is upgraded later', async () => {
    const tenant = await seedTenant(owner, { anchorDeadlineMs: 1_500 });
    const key = tenant.apiKey;
    expect((await importGrant(tenant, 10)).status).toBe(200);
    await part('hedera').stop();
    let proof: ProofView;
    try {
      proof = await client.submitOne({ key });
      await client.untilState(proof.id, ['CERTIFIED_NO_ANCHOR'], { key });
      expect((await client.bundle(proof.id, key)).parsed.anchors).toEqual([]);
    } finally {
      await part('hedera').start();
    }
    const later = await client.submitOne({ anchorPolicy: 'REQUIRED' });
    await client.untilState(later.id, ['CERTIFIED'], { withinMs: 60_000 });
    const { text, parsed } = await client.bundle(proof.id, key);
    expect(parsed.anchors).toHaveLength(1);
    expect((await verifyBundle(text, { trust: await client.trust(), nowMs: Date.now() })).overall).toBe('valid');
  }, 150_000);
});

describe('licences', () => {
  it('make proofs wait for a grant, visibly, and certify them oldest first when it is imported', async () => {
    const tenant = await seedTenant(owner, { anchorPolicy: 'NONE', scopes: ['proofs:write', 'proofs:read'] });
    const [first, second] = [
      await client.submitOne({ key: tenant.apiKey }),
      await client.submitOne({ key: tenant.apiKey }),
    ];
    for (const proof of [first, second])
      await client.untilState(proof.id, ['AWAITING_LICENSE'], { key: tenant.apiKey });
    expect((await importGrant(tenant, 1)).status).toBe(200);
    await client.untilState(first.id, ['CERTIFIED_NO_ANCHOR'], { key: tenant.apiKey });
    expect((await client.untilState(second.id, ['AWAITING_LICENSE'], { key: tenant.apiKey })).state).toBe(
      'AWAITING_LICENSE',
    );
  }, 60_000);
});

describe('a submission for which there are too few units', () => {
  it('is certified in part, says what would release the rest, and is certified whole by the next grant of the chain', async () => {
    const tenant = await seedTenant(owner, {
      anchorPolicy: 'NONE',
      scopes: ['proofs:write', 'proofs:read', 'licenses:read'],
    });
    const key = tenant.apiKey;
    const first = await makeGrant(tenant, 3);
    expect(await ok(importText(first, '?dryRun=true'))).toMatchObject({ state: 'UNCHANGED', diff: { quota: 3 } });
    expect(await ok(importText(first))).toMatchObject({ state: 'APPLIED', diff: { quota: 3 } });
    expect(await ok(importText(first))).toMatchObject({ state: 'UNCHANGED' });

    const proofs = Array.from({ length: 5 }, newProof);
    const { id } = await ok<SubmissionView>(client.request('POST', '/v1/submissions', { body: { proofs }, key }), 202);
    const read = () => ok<SubmissionView>(client.request('GET', `/v1/submissions/${id}`, { key }));
    const untilStates = async (states: Readonly<Record<string, number>>): Promise<void> => {
      const wanted = JSON.stringify(Object.entries(states).sort());
      await until(read, (view) => JSON.stringify(Object.entries(view.states).sort()) === wanted);
    };
    await untilStates({ AWAITING_LICENSE: 2, CERTIFIED_NO_ANCHOR: 3 });
    const usage = () => ok(client.request('GET', '/v1/admin/licenses/usage', { key }));
    expect(await usage()).toMatchObject({
      waiting: 2,
      waitingByUnit: [{ orgUnit: tenant.orgUnitId, proofs: 2, cause: 'quota-exhausted' }],
      periods: [{ quota: '3', used: '3', units: [{ orgUnit: tenant.orgUnitId, used: '3' }] }],
    });

    const second = await makeGrant(tenant, 10, {
      grantId: `second-${tenant.tenantId}`,
      seq: 2,
      previousGrantHash: grantHash(first),
    });
    const third = await makeGrant(tenant, 10, {
      grantId: `third-${tenant.tenantId}`,
      seq: 3,
      previousGrantHash: grantHash(second),
    });
    expect(await ok(importText(third), 422)).toMatchObject({
      code: 'GRANT_CHAIN_BROKEN',
      detail: expect.stringContaining(grantHash(second)),
    });
    expect(await ok(importText(second))).toMatchObject({ state: 'APPLIED' });
    await untilStates({ CERTIFIED_NO_ANCHOR: 5 });
    expect(await usage()).toMatchObject({ waiting: 0, waitingByUnit: [] });
    const { rows } = await owner.query(
      "SELECT action, count(*)::int AS n FROM audit WHERE tenant_id = $1 AND action LIKE 'licence.%' GROUP BY action",
      [tenant.tenantId],
    );
    expect(rows).toEqual([{ action: 'licence.imported', n: 2 }]);
    const { rows: named } = await owner.query(
      `SELECT v.payload::jsonb #>> '{licence,grant}' AS "grant", count(*)::int AS n FROM certificates c JOIN certificate_payloads v USING (proof_id) WHERE c.tenant_id = $1 GROUP BY 1 ORDER BY 2`,
      [tenant.tenantId],
    );
    expect(named).toEqual([
      { grant: `second-${tenant.tenantId}`, n: 2 },
      { grant: `grant-${tenant.tenantId}`, n: 3 },
    ]);
  }, 60_000);
});

describe('a grant', () => {
  it('with a wrong signature is refused with a problem, and changes nothing', async () => {
    const tenant = await seedTenant(owner);
    const [header, payload, signature = ''] = (await makeGrant(tenant, 10)).split('.');
    const spoilt = `${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`;
    const refused = await importText([header, payload, spoilt].join('.'));
    expect([refused.status, refused.headers.get('content-type')]).toEqual([
      422,
      expect.stringContaining('application/problem+json'),
    ]);
    expect(await refused.json()).toMatchObject({ code: 'GRANT_SIGNATURE_INVALID', status: 422 });
    const { rowCount } = await owner.query('SELECT FROM licence_grants WHERE tenant_id = $1', [tenant.tenantId]);
    expect(rowCount).toBe(0);
  });
});

describe('reference and metadata', () => {
  it('are committed to by the sealed statement, and the owner can prove them to others', async () => {
    const body = { ...newProof(), reference: 'invoice 7', metadata: { total: 12.5, lines: ['ä', null] } };
    const { id } = await ok<ProofView>(client.request('POST', '/v1/proofs', { body }), 202);
    await client.untilState(id, ['CERTIFIED']);
    const disclosure = parseDisclosure(await (await client.request('GET', `/v1/proofs/${id}/disclosure`)).text());
    const { text } = await client.bundle(id);
    const options = { trust: await client.trust(), nowMs: Date.now() };
    expect(await verifyBundle(text, { ...options, disclosure })).toMatchObject({
      overall: 'valid',
      disclosure: { reference: { verdict: 'valid' }, metadata: { verdict: 'valid' } },
    });
    const other = { ...disclosure, reference: 'invoice 8' };
    expect((await verifyBundle(text, { ...options, disclosure: other })).overall).toBe('invalid');
  });
});

describe('the supervisor', () => {
  it.each(['api', 'relay', 'workers', 'signer', 'tsa', 'hedera', 'temporal', 'postgres'])(
    'has %s back within five seconds after it was killed, and work goes on',
    async (name) => {
      const pid = part(name).pid();
      if (pid === undefined) throw new Error(`${name} is down`);
      process.kill(-pid, 'SIGKILL');
      await until(
        () => part(name).pid(),
        (now) => now !== undefined && now !== pid,
        5_000,
      );
      const body = { proofs: [newProof()], anchorPolicy: 'REQUIRED' };
      const key = crypto.randomUUID();
      // Clients repeat what got no answer, under the same idempotency key.
      const submission = await repeat(() =>
        ok<{ id: string }>(
          client.request('POST', '/v1/submissions', { body, headers: { 'idempotency-key': key } }).then(acceptReplay),
          202,
        ),
      );
      expect((await repeat(() => client.untilFinal(submission.id))).states).toEqual({ CERTIFIED: 1 });
    },
    120_000,
  );
});

/** 200 of a replay is as good as 202. */
function acceptReplay(response: Response): Response {
  return response.status === 200 ? new Response(response.body, { status: 202, headers: response.headers }) : response;
}

async function repeat<T>(work: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
