/** The steps of one level of one PDF. Each may be repeated at any point: what is persisted first, stays. */
import { type Clock, toMicros } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import type { ProofId } from '../../domain/ids.ts';
import { type CertificateLevel, previousLevel } from '../../domain/pdf-level.ts';
import {
  deferLevel,
  ensureLevel,
  isLevelStored,
  readLevel,
  type StoredLevel,
  storeLevel,
} from '../../store/certificate-pdfs.ts';
import { readCertificateSource } from '../../store/certificate-view.read.ts';
import { discardWork, type PdfWork, readWork, storeWork } from '../../store/pdf-work.ts';
import type { Db } from '../../store/pool.ts';
import type { RevocationSource } from '../revocation/revocation-source.ts';
import type { Signer } from '../sealing/signer-client.ts';
import { signedAttributes } from './cms.ts';
import { type Fonts, loadFonts } from './fonts.ts';
import { PDF_KID, readPdfKey } from './pdf-key.ts';
import { renderCertificate } from './render-certificate.ts';
import {
  embedSignature,
  extendToLt,
  prepareDocumentTimestamp,
  prepareSignature,
  signatureImprint,
  signatureSlotBytes,
  timestampSlotBytes,
} from './sign-pdf.ts';
import { fillSlot, reopenPrepared } from './signature-field.ts';
import { viewCertificate } from './view-certificate.ts';

export interface RenderDeps {
  readonly db: Db;
  readonly signer: Signer;
  readonly revocation: Pick<RevocationSource, 'fetchRevocation'>;
  /** Certificates of issuers that chains and tokens may leave out, DER. */
  readonly roots: readonly Uint8Array[];
  readonly clock: Clock;
  readonly origin: string;
  /** Name in the signature field, for people. */
  readonly signerName: string;
  /** Bytes of room for a token. */
  readonly tokenReserve: number;
  /** From B-T to the first try at B-LT, and between tries while lists are not there. */
  readonly graceMs: number;
  readonly revocationRetryMs: number;
  /** A document timestamp is renewed so long before its authority's certificate ends. */
  readonly renewBeforeMs: number;
}

export interface PdfStepInput {
  readonly proofId: string;
  readonly level: string;
}

export interface PdfStepResult {
  /**
   * PREPARED: a token is wanted next. DEFERRED: revocation lists are not there yet; the level is due again later. ABSENT: nothing
   * is prepared.
   */
  readonly state: 'PREPARED' | 'STORED' | 'DEFERRED' | 'ABSENT';
}

const LEAST_RENEWAL_MS = 3_600_000;

export type RenderActivities = ReturnType<typeof createRendering>;

export function createRendering(deps: RenderDeps) {
  const { db, clock, signer } = deps;
  let fonts: Fonts | undefined;
  let isDev: boolean | undefined;

  const afterMs = (ms: number): string => toMicros(BigInt(clock.nowMs() + ms) * 1000n);

  async function prepareBt(proof: ProofId, requestedAt: string): Promise<PdfWork> {
    const source = await readCertificateSource(db, deps.origin, proof);
    if (source === undefined) throw new ProoflineError('PDF_NOT_CERTIFIED', proof);
    isDev ??= (await signer.info()).dev;
    fonts ??= loadFonts();
    const page = await renderCertificate(viewCertificate(source, isDev), fonts);
    const key = await readPdfKey(signer, { proof, step: 'pdf' });
    const slotBytes = signatureSlotBytes(key, deps.tokenReserve);
    const prepared = prepareSignature(page, { name: deps.signerName, at: requestedAt, slotBytes });
    const attributes = signedAttributes(prepared.digest, key.chain[0] ?? new Uint8Array(0));
    // After a crash here the same page and attributes are made again, and the signer answers as before.
    const signature = await key.sign(attributes, { docDigest: Buffer.from(prepared.digest).toString('hex') });
    const { alg, chain, version } = key;
    return {
      prepared: prepared.bytes,
      slotBytes,
      imprint: signatureImprint(signature),
      signed: { kid: PDF_KID, version, alg, attributes, signature, chain },
    };
  }

  /**
   * In good time before the authority's certificate ends. One that ends soon is renewed at half of its rest, in the hope of
   * another by then: never at once, or renewals would follow each other without end.
   */
  /** Whole milliseconds. */
  function renewInMs(endsAt: string): number {
    const restMs = Date.parse(endsAt) - clock.nowMs();
    return Math.max(restMs - deps.renewBeforeMs, Math.floor(restMs / 2), LEAST_RENEWAL_MS);
  }

  /** Whose lists are wanted: the last token's authority, and of B-T the signer too. */
  function extend(proof: ProofId, from: StoredLevel): Promise<Uint8Array> {
    if (from.token === undefined || from.genTime === undefined) throw new Error(`a level of ${proof} has no token`);
    const issuers = [...from.chain, ...deps.roots];
    const madeAfter = `${from.genTime.slice(0, 19)}Z`;
    return extendToLt(from.bytes, {
      chain: from.chain,
      token: from.token,
      signedAt: from.genTime,
      roots: deps.roots,
      nowMicros: () => BigInt(clock.nowMs()) * 1000n,
      fetchRevocation: async (certificate) =>
        (await deps.revocation.fetchRevocation(certificate, { issuers, madeAfter })).crl,
    });
  }

  async function prepareTimestamp(proof: ProofId, level: CertificateLevel, from: StoredLevel): Promise<PdfWork> {
    // A renewal takes in what proves the last document timestamp, before that can no longer be had.
    const file = level === 'B-LTA' ? from.bytes : await extend(proof, from);
    const { bytes, slotBytes, digest } = prepareDocumentTimestamp(file, timestampSlotBytes(deps.tokenReserve));
    return { prepared: bytes, slotBytes, imprint: digest };
  }

  async function store(proof: ProofId, level: CertificateLevel, bytes: Uint8Array, endsAt?: string): Promise<void> {
    const nextDueAt = afterMs(level === 'B-T' ? deps.graceMs : endsAt === undefined ? 0 : renewInMs(endsAt));
    await storeLevel(db, { proof, level, bytes, now: clock.nowMicros(), nextDueAt });
  }

  return {
    /**
     * Makes what the level's token covers: B-T rendered and signed, B-LTA with an empty document timestamp. B-LT needs no
     * token and is stored at once, or put off while its lists are older than the signature. Key (proof, level). Throws SIGNER_*, CERTIFICATE_*,
     * PDF_NOT_CERTIFIED, PDF_LEVEL_MISSING, STORE_UNAVAILABLE.
     */
    async preparePdf(input: PdfStepInput): Promise<PdfStepResult> {
      const { proof, level } = read(input);
      const requestedAt = await ensureLevel(db, proof, level, clock.nowMicros());
      if (requestedAt === undefined) throw new ProoflineError('PDF_NOT_CERTIFIED', proof);
      if (await isLevelStored(db, proof, level)) return { state: 'STORED' };
      if ((await readWork(db, proof, level)) !== undefined) return { state: 'PREPARED' };
      const below = previousLevel(level);
      const from = below === undefined ? undefined : await readLevel(db, proof, below);
      if (below !== undefined && from === undefined) throw new ProoflineError('PDF_LEVEL_MISSING', `${proof} ${below}`);
      try {
        if (level === 'B-LT' && from !== undefined) {
          await store(proof, level, await extend(proof, from));
          return { state: 'STORED' };
        }
        const work =
          from === undefined ? await prepareBt(proof, requestedAt) : await prepareTimestamp(proof, level, from);
        await storeWork(db, proof, level, work, clock.nowMicros());
        return { state: 'PREPARED' };
      } catch (error) {
        if (!(error instanceof ProoflineError) || error.code !== 'REVOCATION_UNAVAILABLE') throw error;
        await deferLevel(db, proof, level, afterMs(deps.revocationRetryMs));
        return { state: 'DEFERRED' };
      }
    },

    /**
     * Lays signature and token into the prepared file and stores the level. Key (proof, level): one file per level. What does not fit is
     * thrown away, to be prepared with the room then configured: PDF_SLOT_TOO_SMALL.
     */
    async storePdf(input: PdfStepInput): Promise<PdfStepResult> {
      const { proof, level } = read(input);
      const work = await readWork(db, proof, level);
      if (work === undefined) return { state: (await isLevelStored(db, proof, level)) ? 'STORED' : 'ABSENT' };
      const { token, signed } = work;
      if (token === undefined) return { state: 'PREPARED' };
      const prepared = reopenPrepared(work.prepared, work.slotBytes);
      let bytes: Uint8Array;
      try {
        bytes = signed === undefined ? fillSlot(prepared, token) : embedSignature(prepared, { ...signed, token });
      } catch (error) {
        await discardWork(db, proof, level);
        throw error;
      }
      await store(proof, level, bytes, work.tokenEndsAt);
      return { state: 'STORED' };
    },
  };
}

function read({ proofId, level }: PdfStepInput): { readonly proof: ProofId; readonly level: CertificateLevel } {
  return { proof: proofId as ProofId, level: level as CertificateLevel };
}
