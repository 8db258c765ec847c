import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createRendering } from '../../activities/rendering/render-activities.ts';
import { createPdfStamping } from '../../activities/rendering/stamp-pdf.ts';
import { systemClock } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import type { ProofId } from '../../domain/ids.ts';
import { workflowIds } from '../../domain/ids.ts';
import type { CertificateLevel } from '../../domain/pdf-level.ts';
import { isLevelStored } from '../../store/certificate-pdfs.ts';
import { poolOf, seedCertified, signerOf } from '../support/certified-proof.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { keepHistory } from '../support/keep-history.ts';
import { makePdfFixture, type PdfFixture } from '../support/pdf-fixture.ts';
import { type SeededTenant, seedTenant } from '../support/seed.ts';
import { createWorkflowTest, type StandIns, type WorkflowTest } from '../support/workflow-run.ts';

const ORIGIN = 'log.example/pdf';
let temporal: WorkflowTest;
let test: TestDatabase;
let fixture: PdfFixture;
let tenant: SeededTenant;
let areListsThere = true;

beforeAll(async () => {
  [temporal, test, fixture] = await Promise.all([createWorkflowTest(), createTestDatabase(), makePdfFixture()]);
  tenant = await seedTenant(test.pool('proofline_owner'));
});
afterAll(async () => {
  await temporal.close();
  await test.drop();
});

function activities(): StandIns {
  const db = test.pool('proofline_worker');
  const rendering = createRendering({
    db,
    signer: signerOf(fixture),
    revocation: {
      fetchRevocation: async (certificate) => {
        if (!areListsThere) throw new ProoflineError('REVOCATION_UNAVAILABLE', 'older than the signature');
        return { crl: await fixture.fetchRevocation(certificate), thisUpdate: '', nextUpdate: '' };
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
  });
  return { ...rendering, ...createPdfStamping({ db, pool: poolOf(fixture) }) };
}

async function render(proofId: ProofId, level: CertificateLevel) {
  const handle = await temporal.client.workflow.start('renderCertificate', {
    workflowId: workflowIds.renderCertificate(proofId, level),
    taskQueue: temporal.workflowQueue,
    args: [{ proofId, level }],
    workflowIdReusePolicy: 'ALLOW_DUPLICATE',
  });
  await handle.result();
  return handle.fetchHistory();
}

describe('renderCertificate', () => {
  it('brings a certificate through every level up to the one asked for, with no file in its history', async () => {
    const { proofId } = await seedCertified(test.pool('proofline_owner'), tenant, ORIGIN);
    await temporal.run(activities(), async () => {
      const history = await render(proofId, 'B-LTA');
      for (const level of ['B-T', 'B-LT', 'B-LTA'] as const)
        expect(await isLevelStored(test.pool('proofline_worker'), proofId, level)).toBe(true);
      expect(JSON.stringify(history).length).toBeLessThan(64_000);
      await keepHistory('renderCertificate', 'b-lta', history);
    });
  });

  it('ends while revocation lists are not there, and goes on when it is started again', async () => {
    const { proofId } = await seedCertified(test.pool('proofline_owner'), tenant, ORIGIN);
    await temporal.run(activities(), async () => {
      areListsThere = false;
      await keepHistory('renderCertificate', 'deferred', await render(proofId, 'B-LT'));
      expect(await isLevelStored(test.pool('proofline_worker'), proofId, 'B-LT')).toBe(false);
      areListsThere = true;
      await render(proofId, 'B-LT');
      expect(await isLevelStored(test.pool('proofline_worker'), proofId, 'B-LT')).toBe(true);
    });
  });
});
