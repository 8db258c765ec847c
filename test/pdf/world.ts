import 'reflect-metadata';
/** One instance's way to a signed certificate PDF in memory: keys, authority, lists, and every level of PAdES. */
import * as x509 from '@peculiar/x509';
import {
  extendToLt,
  extendToLta,
  type PdfAuthority,
  type PdfKey,
  renewLta,
  signPdf,
} from '../../activities/rendering/sign-pdf.ts';
import { createVerificationCache } from '../../domain/timestamp/cache.ts';
import type { TrustDocument } from '../../domain/trust.ts';
import { openCms } from '../../verifier/pdf/cms.ts';
import { readPdf } from '../../verifier/pdf/revisions.ts';
import { findSignatures } from '../../verifier/pdf/signatures.ts';
import {
  type Ca,
  HOUR_MS,
  type Leaf,
  makeCrl,
  makeLeaf,
  makeRoot,
  makeStamps,
  type PdfAlg,
  POLICY,
  pdfKeyOf,
  TSA_EXTENSIONS,
} from './authorities.ts';

export interface PdfWorld {
  readonly signing: Ca;
  readonly signer: Leaf;
  readonly key: PdfKey;
  readonly tsa: Ca;
  readonly tsaLeaf: Leaf;
  readonly authority: PdfAuthority;
  /** What the authority's clock shows; the caller moves it. */
  readonly clock: { nowMs: number };
  /** When documents are signed. */
  readonly atMs: number;
}

/** Made around `atMs`; certificates are in force from ten days before to a year after. */
export async function makePdfWorld(alg: PdfAlg, atMs: number): Promise<PdfWorld> {
  const signing = await makeRoot('Proofline test signing root', atMs);
  const tsa = await makeRoot('Proofline test timestamp root', atMs);
  const signer = await makeLeaf(signing, 'Proofline test documents', { alg, atMs });
  const tsaLeaf = await makeTsaLeaf(tsa, atMs);
  const clock = { nowMs: atMs };
  return {
    signing,
    signer,
    key: await pdfKeyOf(alg, signer, signing),
    tsa,
    tsaLeaf,
    authority: await makeStamps(tsa, tsaLeaf, clock),
    clock,
    atMs,
  };
}

export const makeTsaLeaf = (
  tsa: Ca,
  atMs: number,
  extensions: readonly x509.Extension[] = TSA_EXTENSIONS,
): Promise<Leaf> =>
  makeLeaf(tsa, 'Proofline test authority', {
    alg: 'ES256',
    atMs,
    usage: x509.KeyUsageFlags.digitalSignature,
    extensions,
  });

/** `trust` with the roots of this world in place of its own. */
export function trustOf(world: PdfWorld, trust: TrustDocument): TrustDocument {
  return {
    ...trust,
    roots: { signing: [world.signing.pem], tsa: [...trust.roots.tsa, world.tsa.pem] },
    tsas: [
      ...trust.tsas,
      { name: 'documents', url: 'https://tsa.example/documents', policies: [POLICY], selfOperated: false },
    ],
  };
}

export type Levels = Readonly<Record<'B-T' | 'B-LT' | 'B-LTA' | 'renewed', Uint8Array>>;

/** `tokenReserve`: room for each token, bytes. Signed at `atMs`, lists an hour later, stamped two hours later, renewed after three and four. */
export async function makeLevels(world: PdfWorld, unsigned: Uint8Array, tokenReserve?: number): Promise<Levels> {
  const { clock, atMs, key, authority } = world;
  clock.nowMs = atMs;
  const at = new Date(atMs).toISOString();
  const room = tokenReserve === undefined ? {} : { tokenReserve };
  const first = await signPdf(unsigned, { level: 'B-T', key, authority, name: 'Proofline test', at, ...room });
  const bt = first['B-T'] as Uint8Array;
  const lists = (hours: number) => ({
    chain: key.chain,
    signedAt: new Date(atMs + (hours - 1) * HOUR_MS).toISOString(),
    fetchRevocation: (certificate: Uint8Array) => freshList(world, certificate, atMs + hours * HOUR_MS),
    roots: [world.signing.der, world.tsa.der],
    nowMicros: () => BigInt(atMs + hours * HOUR_MS) * 1000n,
  });
  const blt = await extendToLt(bt, { ...lists(1), token: tokenOf(bt) });
  clock.nowMs = atMs + 2 * HOUR_MS;
  const blta = await extendToLta(blt, authority, tokenReserve);
  clock.nowMs = atMs + 4 * HOUR_MS;
  const renewed = await renewLta(blta, authority, { ...lists(3), ...room });
  clock.nowMs = atMs;
  return { 'B-T': bt, 'B-LT': blt, 'B-LTA': blta, renewed };
}

/** The list of the issuer of a certificate of this world. */
export function freshList(world: PdfWorld, certificate: Uint8Array, fromMs: number): Promise<Uint8Array> {
  const { issuer } = new x509.X509Certificate(new Uint8Array(certificate));
  return makeCrl(issuer === world.tsa.certificate.subject ? world.tsa : world.signing, fromMs);
}

/** The token in the signature of a file. */
export function tokenOf(pdf: Uint8Array): Uint8Array {
  const [first] = findSignatures(readPdf(pdf));
  const cms = first === undefined ? 'no signature' : openCms(first.cms, createVerificationCache());
  if (typeof cms === 'string' || cms.token === undefined) throw new Error(`no token: ${String(cms)}`);
  return cms.token;
}
