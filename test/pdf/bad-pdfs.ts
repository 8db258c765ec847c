import 'reflect-metadata';
/** What a forger, a broken signer or a broken authority would hand over: each file with the claim that must refuse it. */
import { createHash } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { addDss } from '../../activities/rendering/add-dss.ts';
import { buildCms, signedAttributes } from '../../activities/rendering/cms.ts';
import {
  appendRevision,
  openPdf,
  readObject,
  readReference,
  writeDictionary,
} from '../../activities/rendering/pdf-file.ts';
import {
  embedSignature,
  extendToLta,
  type PdfAuthority,
  prepareDocumentTimestamp,
  prepareSignature,
  signatureImprint,
  signatureSlotBytes,
  timestampSlotBytes,
} from '../../activities/rendering/sign-pdf.ts';
import { fillSlot } from '../../activities/rendering/signature-field.ts';
import { concatBytes, toHex } from '../../domain/bytes.ts';
import { compareDer, der, derOid, derSequence, openWhole, TAG } from '../../domain/timestamp/der.ts';
import { OID } from '../../domain/timestamp/oids.ts';
import type { PdfClaim } from '../../verifier/pdf/pdf-verdict.ts';
import { PDF_MAX_LENGTH, readPdf } from '../../verifier/pdf/revisions.ts';
import type { Reason, Verdict } from '../../verifier/verdict.ts';
import { HOUR_MS, makeCrl, makeLeaf, makeRoot, makeStamps } from './authorities.ts';
import { freshList, type Levels, makeTsaLeaf, type PdfWorld } from './world.ts';

export interface BadPdf {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly overall: Verdict;
  readonly claim: PdfClaim;
  readonly reason: Reason;
}

/** `text` changed to another of the same length, once, at or after `from`. */
function replaceAt(pdf: Uint8Array, text: string, other: string, from = 0): Uint8Array {
  const out = Buffer.from(pdf);
  const at = out.indexOf(text, from, 'latin1');
  if (at < 0 || text.length !== other.length) throw new Error(`no ${text}`);
  out.write(other, at, 'latin1');
  return new Uint8Array(out);
}

const revisionEnds = (pdf: Uint8Array): number[] => readPdf(pdf).revisions.map(({ end }) => end);

/** One revision more, with these objects over or beside the old ones. */
function append(
  pdf: Uint8Array,
  objects: (file: ReturnType<typeof openPdf>) => readonly (readonly [number, string])[],
): Uint8Array {
  const file = openPdf(pdf);
  return new Uint8Array(
    appendRevision(
      file,
      objects(file).map(([number, dictionary]) => ({ number, dictionary })),
    ).bytes,
  );
}

interface Variation {
  /** Makes the signed attributes of the document's digest. */
  readonly attributes?: (digest: Uint8Array) => Uint8Array;
  readonly key?: PdfWorld['key'];
  readonly authority?: PdfAuthority;
  /** Stamps this in place of the signature. */
  readonly stamped?: Uint8Array;
  readonly token?: (token: Uint8Array) => Uint8Array;
}

/** B-T with something else than it should have. */
async function signWith(world: PdfWorld, unsigned: Uint8Array, how: Variation): Promise<Uint8Array> {
  const { key = world.key, authority = world.authority } = how;
  const [leaf = new Uint8Array()] = key.chain;
  const at = new Date(world.atMs).toISOString();
  const prepared = prepareSignature(unsigned, { name: 'Proofline test', at, slotBytes: signatureSlotBytes(key) });
  const attributes = how.attributes?.(prepared.digest) ?? signedAttributes(prepared.digest, leaf);
  const signature = await key.sign(attributes, { docDigest: toHex(prepared.digest) });
  const { token } = await authority.stamp(how.stamped ?? signatureImprint(signature));
  return embedSignature(prepared, {
    attributes,
    signature,
    alg: key.alg,
    chain: key.chain,
    token: how.token?.(token) ?? token,
  });
}

/** Both chains and fresh lists of both, as at B-LT. */
async function withLists(world: PdfWorld, pdf: Uint8Array, crls?: readonly Uint8Array[]): Promise<Uint8Array> {
  const fromMs = world.atMs + HOUR_MS;
  const certificates = [world.signer.der, world.signing.der, world.tsaLeaf.der, world.tsa.der];
  const lists = crls ?? [
    await freshList(world, world.signer.der, fromMs),
    await freshList(world, world.tsaLeaf.der, fromMs),
  ];
  return new Uint8Array(addDss(pdf, { certificates, crls: lists }));
}

const sortedSet = (attributes: readonly Uint8Array[]): Uint8Array => der(TAG.set, ...[...attributes].sort(compareDer));
const attributesOf = (set: Uint8Array): Uint8Array[] =>
  openWhole(set, TAG.set, 'attributes')
    .rest(16)
    .map(({ raw }) => raw);

/** Files that are wrong whoever judges them: the bytes were changed after the fact. */
export function tamperedPdfs({ 'B-LTA': blta, 'B-LT': blt, 'B-T': bt }: Levels): BadPdf[] {
  const ends = revisionEnds(blta);
  const [, signed = 0, listed = 0] = ends;
  const flip = (at: number): Uint8Array => blta.map((byte, i) => (i === at ? byte ^ 1 : byte));
  const streamAt = Buffer.from(blta).indexOf('stream\n', signed) + 60;
  // The last bytes of a token are those of its signature.
  const slot = Buffer.from(blta).indexOf('/Contents <', listed) + '/Contents <'.length;
  const tokenLength = 4 + Number.parseInt(Buffer.from(blta).toString('latin1', slot + 4, slot + 8), 16);
  const tokenAt = slot + 2 * tokenLength - 7;
  const page = (file: ReturnType<typeof openPdf>): number => {
    const catalog = readObject(file, readReference(file.trailer.get('Root')));
    const pages = readObject(file, readReference(catalog.get('Pages')));
    return readReference(/\d+ 0 R/.exec(pages.get('Kids') ?? '')?.[0]);
  };
  const shadow = append(blta, (file) => {
    const number = page(file);
    const shown = new Map(readObject(file, number)).set('Contents', `${file.size} 0 R`);
    return [
      [number, writeDictionary(shown)],
      [file.size, '<</Length 36>>\nstream\nBT /F1 12 Tf 72 720 Td (Other) Tj ET\nendstream'],
    ];
  });
  const attachment = append(blta, (file) => {
    const found = [...file.offsets.keys()].find((number) => readsEmbedded(file, number));
    return [[found ?? 0, '<</Type /EmbeddedFile /Length 2>>\nstream\n{}\nendstream']];
  });
  const note = append(blta, (file) => {
    const number = page(file);
    const old = readObject(file, number);
    const annots = (old.get('Annots') ?? '[]').replace(/\]$/, ` ${file.size} 0 R]`);
    return [
      [number, writeDictionary(new Map(old).set('Annots', annots))],
      [file.size, '<</Type /Annot /Subtype /FreeText /Rect [50 50 300 100] /Contents (Other) /DA (/F1 12 Tf)>>'],
    ];
  });
  // The page may refer to an object that is not there; an update must not bring it, whatever it looks like.
  const gap = fillsGap(blt);
  const bad = (
    name: string,
    bytes: Uint8Array,
    claim: PdfClaim,
    reason: Reason,
    overall: Verdict = 'invalid',
  ): BadPdf => ({
    name,
    bytes,
    overall,
    claim,
    reason,
  });
  const long = new Uint8Array(PDF_MAX_LENGTH + 1);
  long.set(bt);
  return [
    bad(
      'flipped-content',
      replaceAt(blta, '/MediaBox [0 0 595', '/MediaBox [0 0 596'),
      'signature',
      'pdf-signature-bad',
    ),
    bad('flipped-signature-revision', replaceAt(blta, '/M (D:2', '/M (D:3', ends[0]), 'signature', 'pdf-signature-bad'),
    bad('flipped-validation-data', flip(streamAt), 'document', 'pdf-malformed'),
    bad('flipped-document-timestamp', replaceHex(blta, tokenAt), 'archive', 'archive-bad'),
    bad('shadow-page', shadow, 'document', 'pdf-changed-after-signature'),
    bad('replaced-attachment', attachment, 'document', 'pdf-changed-after-signature'),
    bad('annotation-after-timestamp', note, 'document', 'pdf-changed-after-signature'),
    bad(
      'object-after-signature',
      append(blt, (file) => [[file.size, '<</Type /Proofline /Says (more)>>']]),
      'document',
      'pdf-changed-after-signature',
    ),
    bad('gap-filled-by-update', gap, 'document', 'pdf-changed-after-signature'),
    bad('bytes-after-end', concatBytes(blt, Buffer.from('more\n')), 'document', 'pdf-malformed'),
    bad('truncated', blt.subarray(0, blt.length - 400), 'document', 'pdf-malformed'),
    bad('too-large', long, 'document', 'pdf-too-large'),
    bad('not-signed', bt.subarray(0, ends[0]), 'document', 'pdf-not-signed'),
  ];
}

function readsEmbedded(file: ReturnType<typeof openPdf>, number: number): boolean {
  try {
    return readObject(file, number).get('Type') === '/EmbeddedFile';
  } catch {
    return false;
  }
}

/** Validation data under a number that the signed trailer counts but no object had. */
function fillsGap(pdf: Uint8Array): Uint8Array {
  const out = Buffer.from(pdf);
  const [, signed = 0] = revisionEnds(pdf);
  const at = out.lastIndexOf('/Size ', signed, 'latin1') + '/Size '.length;
  const size = /^\d+/.exec(out.toString('latin1', at, at + 8))?.[0] ?? '';
  const grown = String(Number(size) + 9);
  if (grown.length !== size.length) throw new Error('the number of objects has another length');
  out.write(grown, at, 'latin1');
  return new Uint8Array(out);
}

/** One hex digit of a token becomes another. */
function replaceHex(pdf: Uint8Array, at: number): Uint8Array {
  return pdf.map((byte, i) => (i === at ? (byte === 0x30 ? 0x31 : 0x30) : byte));
}

/** Files that were signed or stamped wrongly in the first place. */
export async function wronglySignedPdfs(world: PdfWorld, unsigned: Uint8Array, levels: Levels): Promise<BadPdf[]> {
  const { atMs, clock, key, signer, signing, tsa } = world;
  const [leaf = new Uint8Array()] = key.chain;
  clock.nowMs = atMs;
  const make = async (
    name: string,
    how: Variation,
    claim: PdfClaim,
    reason: Reason,
    overall: Verdict = 'invalid',
    crls?: readonly Uint8Array[],
  ): Promise<BadPdf> => ({
    name,
    bytes: await withLists(world, await signWith(world, unsigned, how), crls),
    overall,
    claim,
    reason,
  });
  const attribute = (oid: string, value: Uint8Array): Uint8Array => derSequence(derOid(oid), der(TAG.set, value));
  const plain = (digest: Uint8Array): Uint8Array[] => attributesOf(signedAttributes(digest, leaf));
  const utcTime = Buffer.from(`${new Date(atMs).toISOString().slice(2, 19).replaceAll(/[-:T]/g, '')}Z`);
  const stampsOf = async (extensions: readonly x509.Extension[]) =>
    makeStamps(tsa, await makeTsaLeaf(tsa, atMs, extensions), clock);
  const { timeStamping, emailProtection } = x509.ExtendedKeyUsage;
  const stranger = await makeRoot('Stranger timestamp root', atMs);
  const strangerStamps = await makeStamps(stranger, await makeTsaLeaf(stranger, atMs), clock);
  const otherRoot = await makeRoot('Stranger signing root', atMs);
  const foreignLeaf = await makeLeaf(otherRoot, 'Stranger documents', { alg: key.alg, atMs, keys: signer.keys });
  const clientLeaf = await makeLeaf(signing, 'A client', {
    alg: key.alg,
    atMs,
    keys: signer.keys,
    extensions: [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth])],
  });
  const endedLeaf = await makeLeaf(signing, 'Ended documents', { alg: key.alg, atMs, days: -1, keys: signer.keys });
  const under = (certificate: Uint8Array, root = signing) => ({ key: { ...key, chain: [certificate, root.der] } });
  const lists = (from: number, entries?: Parameters<typeof makeCrl>[2], to?: number) =>
    Promise.all([makeCrl(signing, from, entries, to), makeCrl(tsa, from, undefined, to)]);
  const revoked = (hours: number) =>
    lists(atMs + HOUR_MS, [{ serialNumber: signer.serialNumber, atMs: atMs + hours * HOUR_MS }]);
  return [
    await make(
      'unsorted-attributes',
      { attributes: (digest) => der(TAG.set, ...[...plain(digest)].sort(compareDer).reverse()) },
      'signature',
      'pdf-signature-bad',
    ),
    await make(
      'wrong-ess',
      { attributes: (digest) => signedAttributes(digest, tsa.der) },
      'signature',
      'pdf-signature-bad',
    ),
    await make(
      'signing-time',
      { attributes: (digest) => sortedSet([...plain(digest), attribute(OID.signingTime, der(TAG.utcTime, utcTime))]) },
      'signature',
      'pdf-signature-bad',
    ),
    await make(
      'digest-of-other-document',
      { attributes: () => signedAttributes(createHash('sha256').update('other').digest(), leaf) },
      'signature',
      'pdf-signature-bad',
    ),
    await make('tsa-without-purpose', { authority: await stampsOf([]) }, 'timestamp', 'signature-token-bad'),
    await make(
      'tsa-with-more-purposes',
      { authority: await stampsOf([new x509.ExtendedKeyUsageExtension([timeStamping, emailProtection], true)]) },
      'timestamp',
      'signature-token-bad',
    ),
    await make(
      'imprint-of-other-signature',
      { stamped: createHash('sha256').update('other').digest() },
      'timestamp',
      'signature-token-bad',
    ),
    await make('untrusted-tsa', { authority: strangerStamps }, 'timestamp', 'signature-token-bad'),
    await make(
      'truncated-token',
      { token: (token) => token.subarray(0, token.length - 40) },
      'signature',
      'pdf-signature-bad',
    ),
    await make('untrusted-signer', under(foreignLeaf.der, otherRoot), 'key', 'signing-certificate-bad'),
    await make('client-certificate', under(clientLeaf.der), 'key', 'signing-certificate-bad'),
    await make('ended-certificate', under(endedLeaf.der), 'key', 'signing-certificate-bad'),
    await make('revoked-signer', {}, 'key', 'signing-certificate-revoked', 'invalid', await revoked(-1)),
    await make(
      'ended-lists',
      {},
      'key',
      'signer-revocation-unverified',
      'unverified',
      await lists(atMs - 48 * HOUR_MS, [], atMs - 24 * HOUR_MS),
    ),
    await make(
      'lists-older-than-signature',
      {},
      'validation',
      'validation-data-incomplete',
      'unverified',
      await lists(atMs - HOUR_MS),
    ),
    {
      name: 'lists-without-timestamp-chain',
      bytes: new Uint8Array(
        addDss(levels['B-T'], {
          certificates: [signer.der, signing.der],
          crls: [await makeCrl(signing, atMs + HOUR_MS)],
        }),
      ),
      overall: 'unverified',
      claim: 'timestamp',
      reason: 'revocation-unverified',
    },
    {
      name: 'document-timestamp-of-other-bytes',
      bytes: await stampOther(world, levels['B-LT']),
      overall: 'invalid',
      claim: 'archive',
      reason: 'archive-bad',
    },
    {
      name: 'untrusted-document-timestamp',
      bytes: new Uint8Array(await extendToLta(levels['B-LT'], strangerStamps)),
      overall: 'invalid',
      claim: 'archive',
      reason: 'archive-bad',
    },
    {
      name: 'range-short-of-end',
      bytes: await shortRange(world, unsigned),
      overall: 'invalid',
      claim: 'signature',
      reason: 'pdf-range',
    },
  ];
}

async function stampOther({ authority }: PdfWorld, pdf: Uint8Array): Promise<Uint8Array> {
  const prepared = prepareDocumentTimestamp(pdf, timestampSlotBytes());
  const { token } = await authority.stamp(new Uint8Array(createHash('sha256').update('other').digest()));
  return new Uint8Array(fillSlot(prepared, token));
}

/** Signed so that the last ten bytes are not covered. */
async function shortRange({ key, authority, atMs }: PdfWorld, unsigned: Uint8Array): Promise<Uint8Array> {
  const at = new Date(atMs).toISOString();
  const prepared = prepareSignature(unsigned, { name: 'Proofline test', at, slotBytes: signatureSlotBytes(key) });
  const bytes = Buffer.from(prepared.bytes);
  const behind = prepared.slotAt + 2 * prepared.slotBytes + 2;
  const rest = bytes.length - behind;
  const rangeAt = bytes.indexOf(String(rest).padEnd(10), bytes.indexOf('/ByteRange', unsigned.length));
  bytes.write(String(rest - 10).padEnd(10), rangeAt);
  const digest = createHash('sha256')
    .update(bytes.subarray(0, prepared.slotAt))
    .update(bytes.subarray(behind, bytes.length - 10))
    .digest();
  const attributes = signedAttributes(digest, key.chain[0] ?? new Uint8Array());
  const signature = await key.sign(attributes, { docDigest: digest.toString('hex') });
  const { token } = await authority.stamp(signatureImprint(signature));
  return new Uint8Array(
    fillSlot({ ...prepared, bytes }, buildCms({ attributes, signature, alg: key.alg, chain: key.chain, token })),
  );
}
