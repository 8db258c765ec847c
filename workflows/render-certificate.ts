import { setCurrentDetails } from '@temporalio/workflow';
import type { PdfStepInput, RenderActivities } from '../activities/rendering/render-activities.ts';
import type { PdfStampActivities } from '../activities/rendering/stamp-pdf.ts';
import { type CertificateLevel, levelsUpTo } from '../domain/pdf-level.ts';
import { activity } from './activity.ts';
import { createPersistence } from './persist.ts';

/**
 * Brings the PDF of one certificate to one level, through those below it: prepare (render and sign, or revocation data, or an
 * empty document timestamp), timestamp, store. What Postgres shows done is passed over, so it may be started again at any
 * time. Where revocation lists are not there yet the row says when to start again, and the run ends.
 */
export async function renderCertificate({ proofId, level }: PdfStepInput): Promise<void> {
  const { persist } = createPersistence();
  const preparePdf = activity<RenderActivities['preparePdf']>('preparePdf', level);
  const stampPdf = activity<PdfStampActivities['stampPdf']>('stampPdf', level);
  const storePdf = activity<RenderActivities['storePdf']>('storePdf', level);

  for (const step of levelsUpTo(level as CertificateLevel)) {
    const key = { proofId, level: step };
    for (let isStored = false; !isStored; ) {
      setCurrentDetails(`${step}: preparing.`);
      const { state } = await persist('SIGNER', 'preparePdf', () => preparePdf(key));
      if (state === 'DEFERRED') {
        setCurrentDetails(
          `${step}: revocation lists are not there yet; \`certificate_pdfs.due_at\` says when it is tried again.`,
        );
        return;
      }
      if (state === 'STORED') break;
      setCurrentDetails(`${step}: timestamping.`);
      await persist('TSA', 'stampPdf', () => stampPdf(key));
      setCurrentDetails(`${step}: storing.`);
      // Work that was thrown away, since it did not fit, is prepared anew.
      isStored = (await persist('STORE', 'storePdf', () => storePdf(key))).state === 'STORED';
    }
  }
  setCurrentDetails(`Stored: ${level}.`);
}
