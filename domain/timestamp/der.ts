/**
 * A strict DER reader and writer (X.690 §8, §10): definite minimal lengths, single-byte tags, minimal integers, 0x00 or
 * 0xFF booleans, zero unused bits. What is not DER is refused, and every structure must be read to its end, so that no
 * byte of a token goes unseen. Reads are views, nothing is copied.
 */

/** Why bytes were refused. Never leaves `domain/timestamp`: the verification turns it into a failure of point 12. */
export class DerFault extends Error {
  readonly code: 'MALFORMED' | 'TRAILING_BYTES';
  constructor(code: 'MALFORMED' | 'TRAILING_BYTES', detail: string) {
    super(detail);
    this.name = 'DerFault';
    this.code = code;
  }
}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Context tag, primitive: `[n] IMPLICIT` of a primitive type. */
export const context = (n: number): number => 0x80 | n;
/** Context tag, constructed: `[n] EXPLICIT`, or `[n] IMPLICIT` of a SEQUENCE or SET. */
export const constructed = (n: number): number => 0xa0 | n;

/** One element. `raw` is tag, length and content; `content` the content alone. */
export interface Tlv {
  readonly tag: number;
  readonly content: Uint8Array;
  readonly raw: Uint8Array;
}

const malformed = (detail: string): DerFault => new DerFault('MALFORMED', detail);
const hexTag = (tag: number): string => `0x${tag.toString(16).padStart(2, '0')}`;

/** Reads elements one after the other. Throws {@link DerFault}. */
export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  #at = 0;

  /** `what` names the structure in faults. */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#what = what;
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** Whether an element with this tag comes next. */
  at(tag: number): boolean {
    return this.#bytes[this.#at] === tag;
  }

  /** The next element; with `tag`, it must be that. */
  next(tag?: number): Tlv {
    const start = this.#at;
    const found = this.#bytes[start];
    if (found === undefined) throw malformed(`${this.#what}: an element is missing`);
    if (tag !== undefined && found !== tag)
      throw malformed(`${this.#what}: expected tag ${hexTag(tag)}, found ${hexTag(found)}`);
    if ((found & 0x1f) === 0x1f) throw malformed(`${this.#what}: tag of more than one byte`);
    const first = this.#bytes[start + 1];
    if (first === undefined) throw malformed(`${this.#what}: the length is missing`);
    let at = start + 2;
    let length = first;
    if (first >= 0x80) {
      const count = first & 0x7f;
      // Three bytes hold 16 MiB, beyond every bound of ours; 0 is the indefinite form of BER.
      if (count === 0 || count > 3) throw malformed(`${this.#what}: length form ${hexTag(first)}`);
      length = 0;
      for (let i = 0; i < count; i++) length = length * 256 + (this.#bytes[at++] ?? Number.NaN);
      if (!(length >= (count === 1 ? 0x80 : 256 ** (count - 1))))
        throw malformed(`${this.#what}: length not in its shortest form`);
    }
    const end = at + length;
    if (end > this.#bytes.length) throw malformed(`${this.#what}: ${end - this.#bytes.length} bytes are missing`);
    this.#at = end;
    return { tag: found, content: this.#bytes.subarray(at, end), raw: this.#bytes.subarray(start, end) };
  }

  /** The next element if it has this tag. */
  optional(tag: number): Tlv | undefined {
    return this.at(tag) ? this.next(tag) : undefined;
  }

  /** A reader of the content of the next element, which must have this tag. */
  enter(tag: number, what: string): DerReader {
    return new DerReader(this.next(tag).content, what);
  }

  /** Every remaining element, at most `max`, each with this tag if one is given. */
  rest(max: number, tag?: number): Tlv[] {
    const out: Tlv[] = [];
    while (!this.done) {
      if (out.length === max) throw malformed(`${this.#what}: more than ${max} elements`);
      out.push(this.next(tag));
    }
    return out;
  }

  /** Refuses bytes after the last element. */
  end(): void {
    if (!this.done)
      throw new DerFault('TRAILING_BYTES', `${this.#what}: ${this.#bytes.length - this.#at} bytes after the end`);
  }
}

/** Reads one element that fills `bytes`. */
export function readWhole(bytes: Uint8Array, tag: number, what: string): Tlv {
  const reader = new DerReader(bytes, what);
  const tlv = reader.next(tag);
  reader.end();
  return tlv;
}

/** A reader over the content of the one element that fills `bytes`. */
export function openWhole(bytes: Uint8Array, tag: number, what: string): DerReader {
  return new DerReader(readWhole(bytes, tag, what).content, what);
}

/** An INTEGER that is not negative, as minimal lower-case hex of whole bytes ("00" for zero). At most `maxBytes` long. */
export function readUnsigned(tlv: Tlv, what: string, maxBytes = 64): string {
  checkInteger(tlv.content, what);
  const bytes = tlv.content;
  if (((bytes[0] as number) & 0x80) !== 0) throw malformed(`${what}: negative`);
  const magnitude = bytes.length > 1 && bytes[0] === 0 ? bytes.subarray(1) : bytes;
  if (magnitude.length > maxBytes) throw malformed(`${what}: longer than ${maxBytes} bytes`);
  let hex = '';
  for (const byte of magnitude) hex += byte.toString(16).padStart(2, '0');
  return hex;
}

/** An INTEGER or ENUMERATED from 0 to 2^31 − 1. */
export function readSmall(tlv: Tlv, what: string): number {
  const value = Number.parseInt(readUnsigned(tlv, what, 4), 16);
  if (value > 0x7fffffff) throw malformed(`${what}: too large`);
  return value;
}

function checkInteger(bytes: Uint8Array, what: string): void {
  const [first, second] = bytes;
  if (first === undefined) throw malformed(`${what}: empty integer`);
  if (second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80)))
    throw malformed(`${what}: integer not in its shortest form`);
}

export function readBoolean(tlv: Tlv, what: string): boolean {
  const byte = tlv.content[0];
  if (tlv.content.length !== 1 || (byte !== 0 && byte !== 0xff)) throw malformed(`${what}: not a DER boolean`);
  return byte === 0xff;
}

/** Dotted form, e.g. `1.2.840.113549.1.7.2`. */
export function readOid(tlv: Tlv, what: string): string {
  const bytes = tlv.content;
  if (bytes.length === 0 || bytes.length > 64 || (bytes[bytes.length - 1] as number) >= 0x80)
    throw malformed(`${what}: object identifier`);
  const arcs: string[] = [];
  let value = 0n;
  let fresh = true;
  for (const byte of bytes) {
    if (fresh && byte === 0x80) throw malformed(`${what}: object identifier not in its shortest form`);
    value = (value << 7n) | BigInt(byte & 0x7f);
    fresh = byte < 0x80;
    if (!fresh) continue;
    if (arcs.length === 0) {
      const top = value < 80n ? value / 40n : 2n;
      arcs.push(top.toString(), (value - top * 40n).toString());
    } else arcs.push(value.toString());
    value = 0n;
  }
  return arcs.join('.');
}

/** The bytes of a BIT STRING of whole bytes (keys and signatures). */
export function readBitBytes(tlv: Tlv, what: string): Uint8Array {
  if (tlv.content.length === 0 || tlv.content[0] !== 0) throw malformed(`${what}: bit string of whole bytes expected`);
  return tlv.content.subarray(1);
}

/** A named bit list (X.690 §11.2.2: no trailing zero bits): the positions that are set. */
export function readNamedBits(tlv: Tlv, what: string): Set<number> {
  const [unused, ...bytes] = tlv.content.subarray(0, 5);
  if (unused === undefined || unused > 7 || tlv.content.length > 5) throw malformed(`${what}: bit string`);
  const last = bytes[bytes.length - 1];
  if (last === undefined ? unused !== 0 : (last & ((1 << unused) - 1)) !== 0 || ((last >> unused) & 1) === 0)
    throw malformed(`${what}: bit list not in its shortest form`);
  const set = new Set<number>();
  bytes.forEach((byte, i) => {
    for (let bit = 0; bit < 8; bit++) if ((byte & (0x80 >> bit)) !== 0) set.add(8 * i + bit);
  });
  return set;
}

/** ASCII text of a time or a number. */
export function readAscii(tlv: Tlv, what: string): string {
  let out = '';
  for (const byte of tlv.content) {
    if (byte > 0x7e || byte < 0x20) throw malformed(`${what}: not ASCII`);
    out += String.fromCharCode(byte);
  }
  return out;
}

/** Order of DER encodings in a SET OF (X.690 §11.6). */
export function compareDer(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const diff = (a[i] as number) - (b[i] as number);
    if (diff !== 0) return diff;
  }
  return a.length - b.length;
}

/** One element of the given parts. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const head = [tag];
  if (length < 0x80) head.push(length);
  else if (length < 0x100) head.push(0x81, length);
  else if (length < 0x10000) head.push(0x82, length >> 8, length & 0xff);
  else head.push(0x83, length >> 16, (length >> 8) & 0xff, length & 0xff);
  const out = new Uint8Array(head.length + length);
  out.set(head);
  let at = head.length;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export const derSequence = (...parts: readonly Uint8Array[]): Uint8Array => der(TAG.sequence, ...parts);

/** SET OF, sorted as DER demands. */
export const derSetOf = (tag: number, parts: readonly Uint8Array[]): Uint8Array =>
  der(tag, ...[...parts].sort(compareDer));

/** INTEGER of an unsigned big-endian magnitude. */
export function derUnsigned(magnitude: Uint8Array): Uint8Array {
  let from = 0;
  while (from < magnitude.length - 1 && magnitude[from] === 0) from++;
  const bytes = magnitude.length === 0 ? Uint8Array.of(0) : magnitude.subarray(from);
  return (bytes[0] as number) >= 0x80 ? der(TAG.integer, Uint8Array.of(0), bytes) : der(TAG.integer, bytes);
}

/** INTEGER of a whole number from 0 to 2^53 − 1. */
export function derSmall(value: number): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return derUnsigned(Uint8Array.from(bytes));
}

export function derOid(dotted: string): Uint8Array {
  const [top = 0n, second = 0n, ...arcs] = dotted.split('.').map(BigInt);
  const bytes: number[] = [];
  for (const arc of [top * 40n + second, ...arcs]) {
    const group = [Number(arc & 0x7fn)];
    for (let rest = arc >> 7n; rest > 0n; rest >>= 7n) group.unshift(Number(rest & 0x7fn) | 0x80);
    bytes.push(...group);
  }
  return der(TAG.oid, Uint8Array.from(bytes));
}

export const derBoolean = (value: boolean): Uint8Array => der(TAG.boolean, Uint8Array.of(value ? 0xff : 0));
export const derNull = (): Uint8Array => der(TAG.null);
export const derOctets = (bytes: Uint8Array): Uint8Array => der(TAG.octetString, bytes);
