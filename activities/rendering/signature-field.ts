/**
 * A signature or a document timestamp as a new revision of a PDF (ISO 32000-2 §12.8, ETSI EN 319 142-1): the revision is
 * written with room for the signature, its digest leaves that room out, and the signature is laid into it afterwards.
 */
import { createHash } from 'node:crypto';
import { ProoflineError } from '../../domain/errors.ts';
import {
  appendRevision,
  type NewObject,
  openPdf,
  type PdfFile,
  readDictionary,
  readObject,
  readReference,
  readReferences,
  writeDictionary,
  writeReferences,
} from './pdf-file.ts';

/** Room that a signature and a timestamp may ask for at most. */
export const MAX_SIGNATURE_SLOT = 24 * 1024;
export const MAX_TIMESTAMP_SLOT = 16 * 1024;

export type SignatureField =
  /** `at`: RFC 3339, the claimed time (/M); display only. */
  | { readonly kind: 'signature'; readonly name: string; readonly at: string; readonly slotBytes: number }
  | { readonly kind: 'timestamp'; readonly slotBytes: number };

export interface PreparedPdf {
  /** The file with an empty slot. */
  readonly bytes: Uint8Array;
  /** Where the slot's `<` stands, and how many bytes of DER it takes. */
  readonly slotAt: number;
  readonly slotBytes: number;
  /** SHA-256 of everything but the slot: what is signed or stamped. */
  readonly digest: Uint8Array;
}

const BLANK = '0'.repeat(10);

/** Adds the field to the form and the first page and leaves the slot empty. Same input, same bytes. */
export function prepareField(pdf: Uint8Array, field: SignatureField): PreparedPdf {
  const max = field.kind === 'signature' ? MAX_SIGNATURE_SLOT : MAX_TIMESTAMP_SLOT;
  if (!Number.isInteger(field.slotBytes) || field.slotBytes < 1 || field.slotBytes > max)
    throw new RangeError(`a slot of 1 to ${max} bytes is expected, not ${field.slotBytes}`);
  const file = openPdf(pdf);
  const value = file.size;
  const widget = file.size + 1;
  const { bytes, at } = appendRevision(file, [
    { number: value, dictionary: writeValue(field) },
    ...placeWidget(file, value, widget),
  ]);
  return fillRange(bytes, at.get(value) ?? 0, field.slotBytes);
}

/** Lays DER into the slot. Throws PDF_SLOT_TOO_SMALL when it does not fit: a slot never grows. */
export function fillSlot(prepared: PreparedPdf, der: Uint8Array): Uint8Array {
  if (der.length > prepared.slotBytes)
    throw new ProoflineError(
      'PDF_SLOT_TOO_SMALL',
      `${der.length} bytes do not fit into a slot of ${prepared.slotBytes} bytes`,
    );
  const out = Buffer.from(prepared.bytes);
  out.write(Buffer.from(der).toString('hex'), prepared.slotAt + 1, 'latin1');
  return out;
}

/** What a prepared file was, from its bytes and the size of its slot: the digest is computed anew. */
export function reopenPrepared(bytes: Uint8Array, slotBytes: number): PreparedPdf {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const slotAt = file.lastIndexOf(`<${'00'.repeat(slotBytes)}>`, undefined, 'latin1');
  if (slotAt < 0) throw new Error('PDF: no empty slot');
  return { bytes: file, slotAt, slotBytes, digest: digestOutside(file, slotAt, slotBytes) };
}

function writeValue(field: SignatureField): string {
  const slot = `<${'00'.repeat(field.slotBytes)}>`;
  const range = `/ByteRange [0 ${BLANK} ${BLANK} ${BLANK}]\n/Contents ${slot}`;
  if (field.kind === 'timestamp')
    return `<<\n/Type /DocTimeStamp\n/Filter /Adobe.PPKLite\n/SubFilter /ETSI.RFC3161\n${range}\n>>`;
  return `<<\n/Type /Sig\n/Filter /Adobe.PPKLite\n/SubFilter /ETSI.CAdES.detached\n/M ${pdfDate(field.at)}\n/Name ${pdfText(field.name)}\n${range}\n>>`;
}

/** The field merged with its widget, without an appearance (its rectangle is empty), on the form and on page one. */
function placeWidget(file: PdfFile, value: number, widget: number): NewObject[] {
  const catalogNumber = readReference(file.trailer.get('Root'));
  const catalog = readObject(file, catalogNumber);
  const pageNumber = firstPage(file, catalog.get('Pages'));
  const page = readObject(file, pageNumber);
  const form = catalog.get('AcroForm');
  const fields = form === undefined ? [] : readReferences(readDictionary(form).dictionary.get('Fields'));
  const acroForm = new Map([
    ['Fields', writeReferences([...fields, widget])],
    ['SigFlags', '3'],
  ]);
  return [
    {
      number: widget,
      dictionary: `<<\n/Type /Annot\n/Subtype /Widget\n/FT /Sig\n/T (Signature${fields.length + 1})\n/V ${value} 0 R\n/F 132\n/Rect [0 0 0 0]\n/P ${pageNumber} 0 R\n>>`,
    },
    {
      number: pageNumber,
      dictionary: new Map(page).set('Annots', writeReferences([...readReferences(page.get('Annots')), widget])),
    },
    { number: catalogNumber, dictionary: new Map(catalog).set('AcroForm', writeDictionary(acroForm)) },
  ];
}

function firstPage(file: PdfFile, pages: string | undefined): number {
  const [first] = readReferences(readObject(file, readReference(pages)).get('Kids'));
  if (first === undefined) throw new Error('PDF: no page');
  return first;
}

function fillRange(bytes: Buffer, valueAt: number, slotBytes: number): PreparedPdf {
  const slotAt = bytes.indexOf('/Contents <', valueAt, 'latin1') + '/Contents '.length;
  const behind = slotAt + 2 * slotBytes + 2;
  const numbers = [slotAt, behind, bytes.length - behind].map((n) => String(n).padEnd(BLANK.length, ' '));
  const rangeAt = bytes.indexOf(`[0 ${BLANK}`, valueAt, 'latin1');
  bytes.write(`[0 ${numbers.join(' ')}]`, rangeAt, 'latin1');
  return { bytes, slotAt, slotBytes, digest: digestOutside(bytes, slotAt, slotBytes) };
}

function digestOutside(bytes: Buffer, slotAt: number, slotBytes: number): Uint8Array {
  return createHash('sha256')
    .update(bytes.subarray(0, slotAt))
    .update(bytes.subarray(slotAt + 2 * slotBytes + 2))
    .digest();
}

/** `(D:20261123042310Z)`. */
function pdfDate(instant: string): string {
  return `(D:${instant.slice(0, 19).replaceAll(/[-:T]/g, '')}Z)`;
}

/** A text string: ASCII as a literal, else UTF-16BE with its mark (ISO 32000-2 §7.9.2.2). */
function pdfText(text: string): string {
  if (/^[\x20-\x7e]*$/.test(text)) return `(${text.replaceAll(/[\\()]/g, '\\$&')})`;
  return `<feff${Buffer.from(text, 'utf16le').swap16().toString('hex')}>`;
}
