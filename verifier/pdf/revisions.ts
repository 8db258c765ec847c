/**
 * A PDF as its revisions (ISO 32000-1 §7.5.6): each an appended run of objects with a cross-reference table of its own.
 * Every byte must be accounted for: header, objects in the order of their offsets, table, trailer, end mark, next
 * revision. What hides between objects, or hangs behind the last end mark, refuses the file.
 */
import { entryOf, nameOf, type PdfDict, PdfFault, type PdfObject, PdfScanner, type PdfValue } from './scan.ts';

/** Longest file that is read, in bytes. A certificate has some ten thousand, each renewal adds as many. */
export const PDF_MAX_LENGTH = 2 * 1_048_576;
const MAX_REVISIONS = 64;
const MAX_OBJECTS = 4_096;

export interface Revision {
  /** The objects that this revision wrote, by number. */
  readonly objects: ReadonlyMap<number, PdfObject>;
  readonly trailer: PdfDict;
  /** First byte after its end mark and end of line. */
  readonly end: number;
}

/** All objects in force after some revision. */
export type State = ReadonlyMap<number, PdfObject>;

export interface PdfFile {
  readonly bytes: Uint8Array;
  /** Oldest first; at least one. */
  readonly revisions: readonly Revision[];
  /** By revision. */
  readonly states: readonly State[];
}

/** Throws PdfFault. */
export function readPdf(bytes: Uint8Array): PdfFile {
  if (bytes.length > PDF_MAX_LENGTH)
    throw new PdfFault('malformed', `${bytes.length} bytes, at most ${PDF_MAX_LENGTH} are read`);
  const scanner = new PdfScanner(bytes, 0);
  if (!scanner.startsWith('%PDF-')) throw new PdfFault('malformed', 'the file does not begin with %PDF-');
  const sections = readSections(bytes);
  let from = skipHeader(bytes);
  let count = 0;
  const revisions: Revision[] = [];
  const states: State[] = [];
  for (const section of sections) {
    count += section.offsets.length;
    if (count > MAX_OBJECTS) throw new PdfFault('unsupported', `more than ${MAX_OBJECTS} objects`);
    const objects = readObjects(bytes, from, section);
    revisions.push({ objects, trailer: section.trailer, end: section.end });
    states.push(new Map([...(states[states.length - 1] ?? []), ...objects]));
    from = section.end;
  }
  const last = states[states.length - 1] as State;
  for (const { trailer } of revisions) {
    if (trailer.entries.has('Encrypt')) throw new PdfFault('unsupported', 'the file is encrypted');
    if (nameOf(entryOf(follow(last, trailer.entries.get('Root')), 'Type')) !== 'Catalog')
      throw new PdfFault('malformed', 'the trailer names no catalog');
  }
  return { bytes, revisions, states };
}

/** The value that a reference leads to; other values stand for themselves. */
export function follow(state: State, value: PdfValue | undefined): PdfValue | undefined {
  if (value?.kind !== 'ref') return value;
  const found = state.get(value.number)?.value;
  // A reference to a reference is no object of the standard.
  return found?.kind === 'ref' ? undefined : found;
}

interface Section {
  /** Objects in the order of their offsets. */
  readonly offsets: readonly { readonly number: number; readonly at: number }[];
  readonly at: number;
  readonly trailer: PdfDict;
  readonly end: number;
}

/** The cross-reference sections, oldest first, found from the end of the file. */
function readSections(bytes: Uint8Array): Section[] {
  const tail = String.fromCharCode(...bytes.subarray(Math.max(0, bytes.length - 64)));
  const found = /startxref\s+(\d{1,10})\s+%%EOF(?:\r?\n)?$/.exec(tail);
  if (found === null) throw new PdfFault('malformed', 'the file does not end with startxref and an end mark');
  const sections: Section[] = [];
  let at = Number(found[1]);
  let limit = bytes.length;
  for (;;) {
    const section = readSection(bytes, at);
    if (sections.length === 0 ? section.end !== bytes.length : section.end > limit)
      throw new PdfFault('malformed', `the revision with the table at ${at} does not end where the next begins`);
    sections.unshift(section);
    if (sections.length > MAX_REVISIONS) throw new PdfFault('unsupported', `more than ${MAX_REVISIONS} revisions`);
    const previous = section.trailer.entries.get('Prev');
    if (previous === undefined) return sections;
    if (previous.kind !== 'number' || !Number.isInteger(previous.value) || previous.value < 0 || previous.value >= at)
      throw new PdfFault('malformed', 'Prev does not lead to an earlier table');
    limit = Math.min(at, ...section.offsets.map((one) => one.at));
    at = previous.value;
  }
}

function readSection(bytes: Uint8Array, at: number): Section {
  const scanner = new PdfScanner(bytes, at);
  if (!scanner.startsWith('xref')) throw new PdfFault('unsupported', `byte ${at}: no cross-reference table`);
  scanner.keyword('xref');
  scanner.endOfLine();
  const offsets: { number: number; at: number }[] = [];
  let next = 0;
  while (!scanner.startsWith('trailer')) {
    const first = scanner.unsigned(6);
    scanner.skipSpace();
    const count = scanner.unsigned(5);
    while (bytes[scanner.at] === 0x20) scanner.at++;
    scanner.endOfLine();
    if (first < next) throw scanner.fault('subsections out of order');
    next = first + count;
    if (count > MAX_OBJECTS) throw new PdfFault('unsupported', `more than ${MAX_OBJECTS} objects`);
    for (let number = first; number < next; number++) {
      const entry = String.fromCharCode(...bytes.subarray(scanner.at, scanner.at + 20));
      const match = /^(\d{10}) (\d{5}) ([nf])(?: \n|\r\n| \r)$/.exec(entry);
      if (match === null) throw scanner.fault('an entry of the table');
      scanner.at += 20;
      const isFree = match[3] === 'f';
      // Only the head of the list of free entries: freeing an object takes it away from what was signed.
      if (isFree !== (number === 0)) throw new PdfFault('unsupported', `entry ${number} of the table is ${match[3]}`);
      if (isFree) continue;
      if (match[2] !== '00000') throw new PdfFault('unsupported', `object ${number} of another generation than 0`);
      offsets.push({ number, at: Number(match[1]) });
    }
  }
  scanner.keyword('trailer');
  const trailer = scanner.value();
  if (trailer.kind !== 'dict') throw scanner.fault('the trailer is no dictionary');
  const size = trailer.entries.get('Size');
  if (size?.kind !== 'number' || size.value < next) throw scanner.fault('Size is smaller than the table');
  if (trailer.entries.has('XRefStm')) throw new PdfFault('unsupported', 'cross-reference streams');
  scanner.skipSpace();
  scanner.keyword('startxref');
  scanner.skipSpace();
  if (scanner.unsigned(10) !== at) throw scanner.fault('startxref names another table');
  scanner.skipSpace();
  if (!scanner.startsWith('%%EOF')) throw scanner.fault('the end mark is expected');
  scanner.at += 5;
  if (scanner.at < bytes.length) scanner.endOfLine();
  offsets.sort((a, b) => a.at - b.at);
  return { offsets, at, trailer, end: scanner.at };
}

/** The first byte after the version and the line of binary bytes that marks the file as such (§7.5.2). */
function skipHeader(bytes: Uint8Array): number {
  const head = String.fromCharCode(...bytes.subarray(0, 64));
  const match = /^%PDF-(?:1\.[3-7]|2\.0)\r?\n(?:%[\x80-\xff]{4,8}\r?\n)?/.exec(head);
  if (match === null) throw new PdfFault('unsupported', 'another header than a version and a line of binary bytes');
  return match[0].length;
}

/** The objects of one section, which fill the bytes from `from` to its table. */
function readObjects(bytes: Uint8Array, from: number, section: Section): Map<number, PdfObject> {
  const objects = new Map<number, PdfObject>();
  const scanner = new PdfScanner(bytes, from);
  for (const { number, at } of section.offsets) {
    scanner.skipSpace();
    if (scanner.at !== at) throw scanner.fault(`bytes of no object before object ${number}`);
    const object = scanner.object();
    if (object.number !== number) throw scanner.fault(`object ${object.number} where the table has ${number}`);
    if (object.value.kind === 'dict' && ['ObjStm', 'XRef'].includes(nameOf(object.value.entries.get('Type')) ?? ''))
      throw new PdfFault('unsupported', 'object streams');
    objects.set(number, object);
  }
  scanner.skipSpace();
  if (scanner.at !== section.at) throw scanner.fault('bytes of no object before the table');
  return objects;
}
