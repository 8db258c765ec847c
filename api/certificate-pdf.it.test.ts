import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { ProofId } from '../domain/ids.ts';
import { ensureLevel, storeLevel } from '../store/certificate-pdfs.ts';
import { seedCertified } from '../test/support/certified-proof.ts';
import { seedQueuedProofs } from '../test/support/queued-proofs.ts';
import { type SeededTenant, seedOperatorKey, seedTenant } from '../test/support/seed.ts';
import { type Call, clientOf } from './test-client.ts';
import { startTestServer, type TestServer } from './test-server.ts';

const AT = '2026-11-23T05:00:00.000000Z';
let server: TestServer;
let tenant: SeededTenant;
let call: Call;

beforeAll(async () => {
  server = await startTestServer({ origin: 'pdf.test/log' });
  tenant = await seedTenant(server.database.pool('proofline_owner'));
  call = clientOf(server.url, tenant.apiKey);
});
afterAll(() => server.stop());

const certified = () => seedCertified(server.database.pool('proofline_owner'), tenant, 'pdf.test/log');
const pathOf = (id: ProofId): string => `/v1/proofs/${id}/certificate.pdf`;

async function storePdf(proof: ProofId, text: string): Promise<void> {
  const db = server.database.pool('proofline_worker');
  await ensureLevel(db, proof, 'B-T', AT);
  await storeLevel(db, { proof, level: 'B-T', bytes: Buffer.from(text), now: AT, nextDueAt: AT });
}

it('asks for the PDF once, answers 202 while it is rendered and then the file', async () => {
  const { proofId } = await certified();
  const first = await call('GET', pathOf(proofId));
  expect([first.status, first.headers.get('retry-after'), first.body]).toEqual([
    202,
    '2',
    { state: 'rendering', level: 'B-T' },
  ]);
  expect((await call('GET', `${pathOf(proofId)}?level=B-T`)).status).toBe(202);
  const { rows } = await server.database
    .pool('proofline_owner')
    .query('SELECT level FROM certificate_pdfs WHERE proof_id = $1', [proofId]);
  expect(rows).toEqual([{ level: 'B-T' }]);
  await storePdf(proofId, 'the file');
  const ready = await call('GET', pathOf(proofId));
  const etag = `"${createHash('sha256').update('the file').digest('hex')}"`;
  expect([ready.status, ready.text, ready.headers.get('content-type'), ready.headers.get('etag')]).toEqual([
    200,
    'the file',
    'application/pdf',
    etag,
  ]);
  expect((await call('GET', pathOf(proofId), undefined, { 'if-none-match': etag })).status).toBe(304);
  expect((await call('GET', `${pathOf(proofId)}?level=B-LT`)).status).toBe(202);
});

it.each([
  ['?wait=20', {}],
  ['', { prefer: 'respond-async, wait=20' }],
])('answers when the file is there, for %s %j', async (query, headers) => {
  const { proofId } = await certified();
  const answer = call('GET', `${pathOf(proofId)}${query}`, undefined, headers);
  const asked = async (): Promise<boolean> => {
    const db = server.database.pool('proofline_owner');
    return (await db.query('SELECT FROM certificate_pdfs WHERE proof_id = $1', [proofId])).rowCount === 1;
  };
  while (!(await asked()));
  await storePdf(proofId, `file of ${proofId}`);
  expect(await answer).toMatchObject({ status: 200, text: `file of ${proofId}` });
});

it('is not there before the certificate, nor for others, nor at a level that there is not', async () => {
  const { proofIds } = await seedQueuedProofs(server.database.pool('proofline_owner'), 1, tenant);
  expect((await call('GET', pathOf(proofIds[0] as ProofId))).body.code).toBe('NOT_READY');
  const { proofId } = await certified();
  const stranger = clientOf(server.url, (await seedTenant(server.database.pool('proofline_owner'))).apiKey);
  expect((await stranger('GET', pathOf(proofId))).body.code).toBe('NOT_FOUND');
  expect((await call('GET', `${pathOf(proofId)}?level=B-B`)).body.code).toBe('REQUEST_INVALID');
  const billing = clientOf(
    server.url,
    await seedOperatorKey(server.database.pool('proofline_owner'), ['BILLING_OPERATOR']),
  );
  expect((await billing('GET', pathOf(proofId))).status).toBe(403);
});
