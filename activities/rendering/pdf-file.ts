/**
 * The files that we write, read just far enough to add a revision (ISO 32000-2 §7.5.6): classic cross-reference tables,
 * dictionaries as maps of raw text. An update is appended, the bytes before it are never touched, so an old file is a
 * strict prefix of the new one and every signature over it stands.
 */
import { createHash } from 'node:crypto';
import { inflateSync } from 'node:zlib';

/** Keys without their slash, values as they stand in the file. */
export type Dictionary = ReadonlyMap<string, string>;

export interface PdfFile {
  readonly bytes: Buffer;
  /** Where each object of the newest revision begins, by its number. */
  readonly offsets: ReadonlyMap<number, number>;
  readonly trailer: Dictionary;
  /** Offset of the newest cross-reference table. */
  readonly xrefAt: number;
  /** The next free object number. */
  readonly size: number;
}

const MAX_REVISIONS = 64;
const malformed = (detail: string): Error => new Error(`PDF: ${detail}`);

/** Opens a file of ours. Throws on anything that it does not write itself. */
export function openPdf(bytes: Uint8Array): PdfFile {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const tail = file.toString('latin1', Math.max(0, file.length - 64));
  const found = /startxref\s+(\d+)\s+%%EOF\s*$/.exec(tail);
  if (found === null) throw malformed('no startxref at the end');
  const xrefAt = Number(found[1]);
  const offsets = new Map<number, number>();
  let newest: Dictionary | undefined;
  let at: number | undefined = xrefAt;
  for (let revision = 0; at !== undefined; revision++) {
    if (revision === MAX_REVISIONS) throw malformed(`more than ${MAX_REVISIONS} revisions`);
    const trailer: Dictionary = readTable(file, at, offsets);
    newest ??= trailer;
    const previous: string | undefined = trailer.get('Prev');
    at = previous === undefined ? undefined : Number(previous);
  }
  if (newest === undefined) throw malformed('no trailer');
  return { bytes: file, offsets, trailer: newest, xrefAt, size: Number(newest.get('Size')) };
}

function readTable(file: Buffer, at: number, offsets: Map<number, number>): Dictionary {
  if (file.toString('latin1', at, at + 4) !== 'xref') throw malformed(`no cross-reference table at ${at}`);
  let next = at + 4;
  for (;;) {
    const head = /^\s*(\d+) (\d+)\s*?\n/.exec(file.toString('latin1', next, next + 40));
    if (head === null) break;
    const first = Number(head[1]);
    const count = Number(head[2]);
    next += head[0].length;
    for (let i = 0; i < count; i++, next += 20) {
      const entry = file.toString('latin1', next, next + 18);
      if (!/^\d{10} \d{5} [nf]$/.test(entry)) throw malformed(`cross-reference entry at ${next}`);
      if (entry.endsWith('n') && !offsets.has(first + i)) offsets.set(first + i, Number(entry.slice(0, 10)));
    }
  }
  const text = file.toString('latin1', next, Math.min(file.length, next + 2_048));
  const start = text.indexOf('<<');
  if (!/^\s*trailer\s*$/.test(text.slice(0, start))) throw malformed(`no trailer behind the table at ${at}`);
  return readDictionary(text, start).dictionary;
}

/** The dictionary of an object, or of its stream. */
export function readObject(file: PdfFile, number: number): Dictionary {
  return locate(file, number).dictionary;
}

/** The decoded bytes of a stream that has no filter or FlateDecode. */
export function readStream(file: PdfFile, number: number): Uint8Array {
  const { dictionary, end } = locate(file, number);
  const start = file.bytes.indexOf('\n', file.bytes.indexOf('stream', end, 'latin1')) + 1;
  const raw = file.bytes.subarray(start, start + Number(dictionary.get('Length')));
  return dictionary.has('Filter') ? inflateSync(raw, { maxOutputLength: 4 * 1024 * 1024 }) : raw;
}

function locate(file: PdfFile, number: number): { readonly dictionary: Dictionary; readonly end: number } {
  const at = file.offsets.get(number);
  if (at === undefined) throw malformed(`no object ${number}`);
  // Objects end before the next begins; the longest holds a slot of 24 KiB in hexadecimal digits.
  const text = file.bytes.toString('latin1', at, Math.min(file.bytes.length, nextOffset(file, at)));
  const head = /^(\d+) 0 obj\s*(?=<<)/.exec(text);
  if (head === null || Number(head[1]) !== number) throw malformed(`object ${number} is not at ${at}`);
  const { dictionary, end } = readDictionary(text, head[0].length);
  return { dictionary, end: at + end };
}

function nextOffset(file: PdfFile, at: number): number {
  let end = at + 65_536;
  for (const offset of file.offsets.values()) if (offset > at && offset < end) end = offset;
  return end;
}

/** `12 0 R` → 12. */
export function readReference(raw: string | undefined): number {
  const found = /^(\d+) 0 R$/.exec(raw ?? '');
  if (found === null) throw malformed(`a reference is expected, found ${raw?.slice(0, 40)}`);
  return Number(found[1]);
}

/** The references of `[1 0 R 2 0 R]`; none where the entry is absent. */
export function readReferences(raw: string | undefined): number[] {
  if (raw === undefined) return [];
  return Array.from(raw.matchAll(/(\d+) 0 R/g), (match) => Number(match[1]));
}

export const writeReferences = (numbers: readonly number[]): string => `[${numbers.map((n) => `${n} 0 R`).join(' ')}]`;

/** Reads the dictionary that begins at `start`; nested values stay raw. */
export function readDictionary(text: string, start = 0): { readonly dictionary: Dictionary; readonly end: number } {
  const dictionary = new Map<string, string>();
  let at = start + 2;
  for (;;) {
    at = skipSpace(text, at);
    if (text.startsWith('>>', at)) return { dictionary, end: at + 2 };
    if (text[at] !== '/') throw malformed('a key is expected in a dictionary');
    const keyEnd = endOfValue(text, at);
    const valueAt = skipSpace(text, keyEnd);
    const end = endOfValue(text, valueAt);
    dictionary.set(text.slice(at + 1, keyEnd), text.slice(valueAt, end));
    at = end;
  }
}

export function writeDictionary(dictionary: Dictionary): string {
  return `<<\n${Array.from(dictionary, ([key, value]) => `/${key} ${value}`).join('\n')}\n>>`;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && ' \t\r\n\f\0'.includes(text[at] as string)) at++;
  return at;
}

function endOfValue(text: string, at: number): number {
  const rest = text.slice(at, at + 1);
  if (text.startsWith('<<', at)) return readDictionary(text, at).end;
  if (rest === '[') {
    let next = skipSpace(text, at + 1);
    while (text[next] !== ']') next = skipSpace(text, endOfValue(text, next));
    return next + 1;
  }
  if (rest === '<') return closing(text.indexOf('>', at));
  if (rest === '(') {
    let depth = 0;
    for (let next = at; next < text.length; next++) {
      if (text[next] === '\\') next++;
      else if (text[next] === '(') depth++;
      else if (text[next] === ')' && --depth === 0) return next + 1;
    }
    throw malformed('a string does not end');
  }
  TOKEN.lastIndex = at;
  const token = TOKEN.exec(text);
  if (token === null) throw malformed(`a value is expected at ${at}`);
  return at + token[0].length;
}

const TOKEN = /\d+ \d+ R(?![A-Za-z0-9])|\/[^\s/<>[\]()%]*|[^\s/<>[\]()%]+/y;

function closing(at: number): number {
  if (at < 0) throw malformed('a hexadecimal string does not end');
  return at + 1;
}

/** One object of a revision: its dictionary, and its stream if it has one. */
export interface NewObject {
  readonly number: number;
  readonly dictionary: Dictionary | string;
  readonly stream?: Uint8Array;
}

/**
 * Appends one revision. The first half of the file's ID stays, the second says what it grew from. The result shares
 * nothing with `file`. `at` tells where each object stands.
 */
export function appendRevision(
  file: PdfFile,
  objects: readonly NewObject[],
): { readonly bytes: Buffer; readonly at: ReadonlyMap<number, number> } {
  const parts: Buffer[] = [file.bytes];
  let length = file.bytes.length;
  const push = (part: Buffer): void => {
    parts.push(part);
    length += part.length;
  };
  if (file.bytes.at(-1) !== 0x0a) push(Buffer.from('\n'));
  const at = new Map<number, number>();
  const sorted = objects.toSorted((a, b) => a.number - b.number);
  for (const { number, dictionary, stream } of sorted) {
    at.set(number, length);
    const text = typeof dictionary === 'string' ? dictionary : writeDictionary(dictionary);
    push(Buffer.from(`${number} 0 obj\n${text}\n`, 'latin1'));
    if (stream !== undefined) push(Buffer.concat([Buffer.from('stream\n'), stream, Buffer.from('\nendstream\n')]));
    push(Buffer.from('endobj\n'));
  }
  const xrefAt = length;
  const size = Math.max(file.size, ...sorted.map((object) => object.number + 1));
  const trailer = new Map(file.trailer)
    .set('Size', String(size))
    .set('Prev', String(file.xrefAt))
    .set('ID', nextId(file));
  push(Buffer.from(`${writeTable(at)}trailer\n${writeDictionary(trailer)}\nstartxref\n${xrefAt}\n%%EOF\n`, 'latin1'));
  return { bytes: Buffer.concat(parts), at };
}

function writeTable(at: ReadonlyMap<number, number>): string {
  const numbers = [...at.keys()].sort((a, b) => a - b);
  let out = 'xref\n';
  for (let i = 0; i < numbers.length; ) {
    let end = i + 1;
    while (numbers[end] === (numbers[end - 1] as number) + 1) end++;
    out += `${numbers[i]} ${end - i}\n`;
    for (; i < end; i++) out += `${String(at.get(numbers[i] as number)).padStart(10, '0')} 00000 n \n`;
  }
  return out;
}

function nextId(file: PdfFile): string {
  const [first = `<${'00'.repeat(16)}>`] = /<[0-9A-Fa-f]+>/.exec(file.trailer.get('ID') ?? '') ?? [];
  const grown = createHash('sha256').update(file.bytes).digest('hex').slice(0, 32);
  return `[${first} <${grown}>]`;
}
