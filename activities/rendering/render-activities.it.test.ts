import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { systemClock } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import type { ProofId } from '../../domain/ids.ts';
import type { CertificateLevel } from '../../domain/pdf-level.ts';
import { readPdf, requestPdf } from '../../store/certificate-pdfs.read.ts';
import { readOpenLevels, requestEagerPdfs } from '../../store/certificate-pdfs.ts';
import { inTransaction } from '../../store/pool.ts';
import { startDueLevels } from '../../store/start-due-levels.ts';
import { withTenant } from '../../store/tenant-scope.ts';
import { poolOf, seedCertified, signerOf } from '../../test/support/certified-proof.ts';
import { createTestDatabase, type TestDatabase } from '../../test/support/database.ts';
import { makePdfFixture, type PdfFixture } from '../../test/support/pdf-fixture.ts';
import { type SeededTenant, seedTenant } from '../../test/support/seed.ts';
import { createRendering, type RenderDeps } from './render-activities.ts';
import { createPdfStamping } from './stamp-pdf.ts';

const ORIGIN = 'pdf.test/log';
let database: TestDatabase;
let fixture: PdfFixture;
let tenant: SeededTenant;
let proof: ProofId;
let signer: ReturnType<typeof signerOf>;
let pool: ReturnType<typeof poolOf>;
let areListsThere: boolean;

beforeAll(async () => {
  [database, fixture] = await Promise.all([createTestDatabase(), makePdfFixture()]);
  tenant = await seedTenant(database.pool('proofline_owner'), { name: 'Étude Lefèvre' });
});
afterAll(() => database.drop());
beforeEach(async () => {
  proof = (await seedCertified(database.pool('proofline_owner'), tenant, ORIGIN)).proofId;
  signer = signerOf(fixture);
  pool = poolOf(fixture);
  areListsThere = true;
});

/** The activities as another process has them: nothing is remembered. */
function process(change: Partial<RenderDeps> = {}) {
  const db = database.pool('proofline_worker');
  const rendering = createRendering({
    db,
    signer,
    revocation: {
      fetchRevocation: async (certificate) => {
        if (!areListsThere) throw new ProoflineError('REVOCATION_UNAVAILABLE', 'older than the signature');
        const crl = await fixture.fetchRevocation(certificate);
        return { crl, thisUpdate: '', nextUpdate: '' };
      },
    },
    roots: fixture.roots,
    clock: systemClock(),
    origin: ORIGIN,
    signerName: 'Proofline test',
    tokenReserve: 4_096,
    graceMs: 60_000,
    revocationRetryMs: 60_000,
    renewBeforeMs: 86_400_000,
    ...change,
  });
  return { ...rendering, ...createPdfStamping({ db, pool }) };
}

async function reach(level: CertificateLevel): Promise<void> {
  const key = { proofId: proof, level };
  const { preparePdf, stampPdf, storePdf } = process();
  if ((await preparePdf(key)).state === 'STORED') return;
  await stampPdf(key);
  expect(await storePdf(key)).toEqual({ state: 'STORED' });
}

const stored = (level: CertificateLevel) =>
  withTenant(database.pool('proofline_api'), tenant.tenantId, (tx) => readPdf(tx, proof, level));

describe('a PDF', () => {
  it('grows from level to level, each file a strict prefix of the next', async () => {
    const files: Buffer[] = [];
    for (const level of ['B-T', 'B-LT', 'B-LTA', 'B-LTA.2'] as const) {
      await reach(level);
      files.push(Buffer.from((await stored(level))?.bytes ?? ''));
    }
    files.slice(1).forEach((newer, i) => {
      const older = files[i] as Buffer;
      expect(newer.length).toBeGreaterThan(older.length);
      expect(newer.subarray(0, older.length).equals(older)).toBe(true);
    });
    expect([signer.signed(), pool.stamped()]).toEqual([1, 3]);
  });

  it('is one file, one signature and one token, wherever a process dies and whoever repeats its steps', async () => {
    const key = { proofId: proof, level: 'B-T' };
    const twice = <T>(step: (p: ReturnType<typeof process>) => Promise<T>) =>
      Promise.all([step(process()), step(process())]);
    await process().preparePdf(key);
    await twice((p) => p.preparePdf(key));
    await process().stampPdf(key);
    await twice((p) => p.stampPdf(key));
    await twice((p) => p.storePdf(key));
    expect(await process().preparePdf(key)).toEqual({ state: 'STORED' });
    const { rows } = await database.pool('proofline_owner').query(
      `SELECT count(*)::int AS levels, (SELECT count(*)::int FROM pdf_work WHERE proof_id = $1) AS work,
           (SELECT count(*)::int FROM events WHERE type = 'certificate.rendered' AND members = ARRAY[$1::uuid]) AS events
         FROM certificate_pdfs WHERE proof_id = $1 AND sha256 IS NOT NULL`,
      [proof],
    );
    expect(rows).toEqual([{ levels: 1, work: 0, events: 1 }]);
    expect([signer.signed(), pool.stamped()]).toEqual([1, 1]);
  });

  it('keeps the first token when two processes stamp at once', async () => {
    const key = { proofId: proof, level: 'B-T' };
    await process().preparePdf(key);
    await Promise.all([process().stampPdf(key), process().stampPdf(key)]);
    await process().storePdf(key);
    const { rows } = await database
      .pool('proofline_owner')
      .query('SELECT encode(token, $2) AS token FROM certificate_pdfs WHERE proof_id = $1 AND level = $3', [
        proof,
        'hex',
        'B-T',
      ]);
    expect(Buffer.from((await stored('B-T'))?.bytes ?? '').toString('latin1')).toContain(rows[0].token);
  });

  it('puts B-LT off while lists are older than the signature, and asking again does not hasten it', async () => {
    await reach('B-T');
    areListsThere = false;
    expect(await process().preparePdf({ proofId: proof, level: 'B-LT' })).toEqual({ state: 'DEFERRED' });
    const worker = database.pool('proofline_worker');
    await withTenant(database.pool('proofline_api'), tenant.tenantId, (tx) =>
      requestPdf(tx, proof, 'B-LT', systemClock().nowMicros()),
    );
    await startDueLevels(worker, systemClock().nowMicros(), 100);
    const due = async (): Promise<number> => {
      const { rows } = await worker.query('SELECT count(*)::int AS n FROM outbox WHERE workflow_id = $1', [
        `certificate:${proof}:B-LT`,
      ]);
      return rows[0].n;
    };
    expect(await due()).toBe(0);
    await startDueLevels(worker, '2099-01-01T00:00:00.000000Z', 1_000);
    expect(await due()).toBe(1);
    areListsThere = true;
    expect(await process().preparePdf({ proofId: proof, level: 'B-LT' })).toEqual({ state: 'STORED' });
  });

  it('refuses a token that does not fit, and is signed anew with the room then configured', async () => {
    const key = { proofId: proof, level: 'B-T' };
    const small = process({ tokenReserve: 256 });
    await small.preparePdf(key);
    await small.stampPdf(key);
    await expect(small.storePdf(key)).rejects.toMatchObject({ code: 'PDF_SLOT_TOO_SMALL' });
    expect(await small.storePdf(key)).toEqual({ state: 'ABSENT' });
    await reach('B-T');
    expect(await stored('B-T')).toBeDefined();
  });

  it('is due again before its timestamp loses its authority, and not at once where that ends soon', async () => {
    const dueInDays = async (endsInDays: number): Promise<number> => {
      proof = (await seedCertified(database.pool('proofline_owner'), tenant, ORIGIN)).proofId;
      pool = poolOf(fixture, new Date(Date.now() + endsInDays * 86_400_000).toISOString());
      for (const level of ['B-T', 'B-LT', 'B-LTA'] as const) await reach(level);
      const { rows } = await database
        .pool('proofline_owner')
        .query(
          "SELECT extract(epoch FROM due_at - now())::float8 / 86400 AS days FROM certificate_pdfs WHERE proof_id = $1 AND level = 'B-LTA.2'",
          [proof],
        );
      return rows[0].days;
    };
    expect(await dueInDays(365)).toBeCloseTo(364, 1);
    expect(await dueInDays(1)).toBeCloseTo(0.5, 1);
  });

  it('is asked for with the certificate where the tenant wants it at once, and found again when its start is lost', async () => {
    const owner = database.pool('proofline_owner');
    const eager = await seedTenant(owner);
    await owner.query('UPDATE tenants SET eager_pdf = true WHERE id = $1', [eager.tenantId]);
    const worker = database.pool('proofline_worker');
    const now = systemClock().nowMicros();
    const ids: ProofId[] = [];
    for (const who of [eager, tenant]) ids.push((await seedCertified(owner, who, ORIGIN)).proofId);
    await inTransaction(worker, (tx) => requestEagerPdfs(tx, [eager.tenantId, tenant.tenantId], ids, now));
    const { rows } = await owner.query('SELECT proof_id FROM certificate_pdfs WHERE proof_id = ANY ($1)', [ids]);
    expect(rows).toEqual([{ proof_id: ids[0] }]);
    const open = async () =>
      (await readOpenLevels(worker, '2099-01-01T00:00:00.000000Z', undefined, 1_000)).map(({ proofId }) => proofId);
    expect(await open()).not.toContain(ids[0]);
    await startDueLevels(worker, now, 1_000);
    expect(await open()).toContain(ids[0]);
  });

  it('is not made of a proof without a certificate', async () => {
    const key = { proofId: '00000000-0000-4000-8000-000000000000', level: 'B-T' };
    await expect(process().preparePdf(key)).rejects.toMatchObject({ code: 'PDF_NOT_CERTIFIED' });
  });

  it('is seen and asked for by its own tenant alone', async () => {
    await reach('B-T');
    const other = await seedTenant(database.pool('proofline_owner'));
    const api = database.pool('proofline_api');
    expect(await withTenant(api, other.tenantId, (tx) => readPdf(tx, proof, undefined))).toBeUndefined();
    const at = systemClock().nowMicros();
    expect(await withTenant(api, other.tenantId, (tx) => requestPdf(tx, proof, 'B-LT', at))).toBe('unknown');
    expect(await withTenant(api, tenant.tenantId, (tx) => requestPdf(tx, proof, 'B-LT', at))).toBe('requested');
  });
});
