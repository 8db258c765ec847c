/**
 * PAdES in phases that can be suspended between: prepare, sign, stamp, embed (B-T); validation material (B-LT); document
 * timestamp (B-LTA), and again before that ends. Each phase is a function of bytes; `signPdf` runs them in one go.
 */
import { createHash } from 'node:crypto';
import { addDss } from './add-dss.ts';
import { buildCms, cmsBytesBesideToken, type PdfSignatureAlg, signedAttributes } from './cms.ts';
import { collectValidation, type FetchRevocation } from './collect-validation.ts';
import { openPdf, readDictionary, readObject, readReference, readReferences } from './pdf-file.ts';
import { fillSlot, MAX_SIGNATURE_SLOT, MAX_TIMESTAMP_SLOT, type PreparedPdf, prepareField } from './signature-field.ts';

export const PDF_LEVELS = ['B-T', 'B-LT', 'B-LTA'] as const;
export type PdfLevel = (typeof PDF_LEVELS)[number];

/** Bytes kept for a token unless configured: real ones take 1.5 KB (P-256, ours) to 7 KB (commercial chains). */
export const DEFAULT_TOKEN_RESERVE = 6 * 1024;

/** The key of a PDF: its chain (DER, the signer's first), and a way to its signatures. */
export interface PdfKey {
  readonly alg: PdfSignatureAlg;
  readonly chain: readonly Uint8Array[];
  /**
   * Signs the DER of the attributes, tag 0x31. Gives the form of CMS: ECDSA-Sig-Value or RSA block. `docDigest` is the hex
   * SHA-256 of the byte range, which the signer compares with messageDigest.
   */
  sign(attributes: Uint8Array, context: { readonly docDigest: string }): Promise<Uint8Array>;
}

/** A timestamp authority or a pool of them; `imprint` is a SHA-256 value. */
export interface PdfAuthority {
  stamp(imprint: Uint8Array): Promise<{ readonly token: Uint8Array; readonly genTime: string }>;
}

/**
 * The room for signature and token: what chain and algorithm take, plus the reserve, in whole 256 bytes, at most 24 KiB.
 * Two hexadecimal digits a byte stand in the file for ever, so room that nobody needs is not taken.
 */
export function signatureSlotBytes(
  key: Pick<PdfKey, 'alg' | 'chain'>,
  tokenReserve: number = DEFAULT_TOKEN_RESERVE,
): number {
  return roundUp(cmsBytesBesideToken(key.chain, key.alg) + tokenReserve, MAX_SIGNATURE_SLOT);
}

export function timestampSlotBytes(tokenReserve: number = DEFAULT_TOKEN_RESERVE): number {
  return roundUp(tokenReserve, MAX_TIMESTAMP_SLOT);
}

const roundUp = (bytes: number, max: number): number => Math.min(Math.ceil(bytes / 256) * 256, max);

export interface SignatureParts {
  readonly attributes: Uint8Array;
  readonly signature: Uint8Array;
  readonly alg: PdfSignatureAlg;
  readonly chain: readonly Uint8Array[];
  readonly token: Uint8Array;
}

/** Phase 2: an empty signature field. `at`: RFC 3339, the claimed time; `name`: who signs, for people. */
export function prepareSignature(
  pdf: Uint8Array,
  options: { readonly name: string; readonly at: string; readonly slotBytes: number },
): PreparedPdf {
  return prepareField(pdf, { kind: 'signature', ...options });
}

/** Phase 4: the complete signature in its slot: level B-T. */
export function embedSignature(prepared: PreparedPdf, parts: SignatureParts): Uint8Array {
  return fillSlot(prepared, buildCms(parts));
}

/** What a token over a signature covers: SHA-256 of the signature value. */
export const signatureImprint = (signature: Uint8Array): Uint8Array => createHash('sha256').update(signature).digest();

/** Phase for B-LTA and each renewal: an empty document timestamp. */
export function prepareDocumentTimestamp(pdf: Uint8Array, slotBytes: number): PreparedPdf {
  return prepareField(pdf, { kind: 'timestamp', slotBytes });
}

/** The token of the newest document timestamp of a file, DER; undefined where there is none. */
export function lastDocumentTimestamp(pdf: Uint8Array): Uint8Array | undefined {
  const file = openPdf(pdf);
  const form = readObject(file, readReference(file.trailer.get('Root'))).get('AcroForm');
  if (form === undefined) return undefined;
  for (const field of readReferences(readDictionary(form).dictionary.get('Fields')).toReversed()) {
    const value = readObject(file, readReference(readObject(file, field).get('V')));
    if (value.get('SubFilter') === '/ETSI.RFC3161') return readContents(value.get('Contents') ?? '');
  }
  return undefined;
}

/** The DER at the head of a padded slot. */
function readContents(slot: string): Uint8Array {
  const bytes = Buffer.from(slot.slice(1, -1), 'hex');
  const first = bytes[1] ?? 0;
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  const content = lengthBytes === 0 ? first : bytes.readUIntBE(2, lengthBytes);
  return bytes.subarray(0, 2 + lengthBytes + content);
}

export interface SignPdfOptions {
  readonly level: PdfLevel;
  readonly key: PdfKey;
  readonly authority: PdfAuthority;
  /** Who signs, for people. */
  readonly name: string;
  /** Claimed time, RFC 3339. */
  readonly at: string;
  readonly tokenReserve?: number;
  /** For B-LT and above. */
  readonly revocation?: {
    readonly fetchRevocation: FetchRevocation;
    /** Certificates that tokens leave out, DER. */
    readonly roots: readonly Uint8Array[];
    readonly nowMicros: () => bigint;
  };
}

/** Every level up to the one asked for; each is a strict prefix of the next. */
export async function signPdf(
  pdf: Uint8Array,
  options: SignPdfOptions,
): Promise<Readonly<Partial<Record<PdfLevel, Uint8Array>>>> {
  const { key, authority, level, tokenReserve } = options;
  const prepared = prepareSignature(pdf, {
    name: options.name,
    at: options.at,
    slotBytes: signatureSlotBytes(key, tokenReserve),
  });
  const attributes = signedAttributes(prepared.digest, key.chain[0] ?? new Uint8Array(0));
  const signature = await key.sign(attributes, { docDigest: Buffer.from(prepared.digest).toString('hex') });
  const { token, genTime } = await authority.stamp(signatureImprint(signature));
  const bt = embedSignature(prepared, { attributes, signature, alg: key.alg, chain: key.chain, token });
  if (level === 'B-T') return { 'B-T': bt };
  const { revocation } = options;
  if (revocation === undefined) throw new Error(`${level} needs revocation lists`);
  const blt = await extendToLt(bt, { ...revocation, chain: key.chain, token, signedAt: genTime });
  if (level === 'B-LT') return { 'B-T': bt, 'B-LT': blt };
  return { 'B-T': bt, 'B-LT': blt, 'B-LTA': await extendToLta(blt, authority, tokenReserve) };
}

export interface ExtendOptions {
  readonly chain: readonly Uint8Array[];
  readonly token: Uint8Array;
  /** The token's time, RFC 3339. */
  readonly signedAt: string;
  readonly fetchRevocation: FetchRevocation;
  readonly roots: readonly Uint8Array[];
  readonly nowMicros: () => bigint;
}

/** B-T → B-LT: throws what `collectValidation` throws. */
export async function extendToLt(pdf: Uint8Array, options: ExtendOptions): Promise<Uint8Array> {
  const { signedAt, nowMicros, ...rest } = options;
  const signedAtMicros = BigInt(Date.parse(`${signedAt.slice(0, 19)}Z`)) * 1000n;
  return addDss(pdf, await collectValidation({ ...rest, signedAtMicros, nowMicros: nowMicros() }));
}

/** B-LT → B-LTA. */
export async function extendToLta(
  pdf: Uint8Array,
  authority: PdfAuthority,
  tokenReserve?: number,
): Promise<Uint8Array> {
  const prepared = prepareDocumentTimestamp(pdf, timestampSlotBytes(tokenReserve));
  const { token } = await authority.stamp(prepared.digest);
  return fillSlot(prepared, token);
}

/** B-LTA → B-LTA for longer: the last document timestamp's own material, then another above everything. */
export async function renewLta(
  pdf: Uint8Array,
  authority: PdfAuthority,
  options: Omit<ExtendOptions, 'chain' | 'token'> & { readonly tokenReserve?: number },
): Promise<Uint8Array> {
  const token = lastDocumentTimestamp(pdf);
  if (token === undefined) throw new Error('PDF: no document timestamp to renew');
  const held = await extendToLt(pdf, { ...options, chain: [], token });
  return extendToLta(held, authority, options.tokenReserve);
}
