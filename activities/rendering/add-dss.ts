/** The document security store (ISO 32000-2 §12.8.4.3): certificates and revocation lists that outlive their servers. */
import { createHash } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import {
  appendRevision,
  type NewObject,
  openPdf,
  type PdfFile,
  readObject,
  readReference,
  readReferences,
  readStream,
  writeReferences,
} from './pdf-file.ts';

export interface ValidationMaterial {
  /** DER of every certificate, of signer and authorities. */
  readonly certificates: readonly Uint8Array[];
  /** DER of revocation lists that cover them. */
  readonly crls: readonly Uint8Array[];
}

/** Appends a revision whose store holds this beside what it held. Same input, same bytes. */
export function addDss(pdf: Uint8Array, material: ValidationMaterial): Uint8Array {
  const file = openPdf(pdf);
  const rootNumber = readReference(file.trailer.get('Root'));
  const catalog = readObject(file, rootNumber);
  const held = catalog.get('DSS');
  const store = held === undefined ? new Map<string, string>() : readObject(file, readReference(held));
  const added: NewObject[] = [];
  const list = (key: 'Certs' | 'CRLs', items: readonly Uint8Array[]): [string, string] => {
    const numbers = readReferences(store.get(key));
    const known = new Set(numbers.map((number) => fingerprint(readStream(file, number))));
    for (const item of items) {
      if (known.has(fingerprint(item))) continue;
      known.add(fingerprint(item));
      const object = writeStream(nextNumber(file, added), item);
      added.push(object);
      numbers.push(object.number);
    }
    return [key, writeReferences(numbers)];
  };
  const lists = [list('Certs', material.certificates), list('CRLs', material.crls)];
  const storeNumber = held === undefined ? nextNumber(file, added) : readReference(held);
  return appendRevision(file, [
    ...added,
    { number: storeNumber, dictionary: new Map([['Type', '/DSS'], ...lists]) },
    { number: rootNumber, dictionary: new Map(catalog).set('DSS', `${storeNumber} 0 R`) },
  ]).bytes;
}

const nextNumber = (file: PdfFile, added: readonly NewObject[]): number => file.size + added.length;
const fingerprint = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('base64');

function writeStream(number: number, bytes: Uint8Array): NewObject {
  const stream = deflateSync(bytes, { level: 9 });
  return {
    number,
    dictionary: new Map([
      ['Length', String(stream.length)],
      ['Filter', '/FlateDecode'],
    ]),
    stream,
  };
}
