/**
 * The syntax of PDF objects (ISO 32000-1 §7.3), read strictly: what our renderer and our updates write, and nothing that
 * readers are known to understand differently. No comments inside objects, no duplicate keys, direct stream lengths,
 * generation 0. Every fault names the byte at which it was found.
 */

/** Why a file was refused: `malformed` contradicts the standard, `unsupported` is a form that no certificate of ours has. */
export class PdfFault extends Error {
  readonly kind: 'malformed' | 'unsupported';
  constructor(kind: 'malformed' | 'unsupported', detail: string) {
    super(detail);
    this.name = 'PdfFault';
    this.kind = kind;
  }
}

export type PdfValue =
  | { readonly kind: 'null' }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'name'; readonly name: string }
  | PdfString
  | PdfArray
  | PdfDict
  | PdfRef;

/** `from` and `to` are the bytes of the token in the file, delimiters included. */
export interface PdfString {
  readonly kind: 'string';
  readonly bytes: Uint8Array;
  readonly isHex: boolean;
  readonly from: number;
  readonly to: number;
}
export interface PdfArray {
  readonly kind: 'array';
  readonly items: readonly PdfValue[];
}
export interface PdfDict {
  readonly kind: 'dict';
  readonly entries: ReadonlyMap<string, PdfValue>;
}
export interface PdfRef {
  readonly kind: 'ref';
  readonly number: number;
}

/** An indirect object of generation 0. */
export interface PdfObject {
  readonly number: number;
  readonly value: PdfValue;
  /** Encoded bytes, when it is a stream; `value` is then its dictionary. */
  readonly stream: Uint8Array | undefined;
  /** First byte after `endobj`. */
  readonly to: number;
}

const MAX_DEPTH = 24;
const MAX_ENTRIES = 4_096;
const MAX_OBJECT_NUMBER = 100_000;

const isSpace = (byte: number | undefined): boolean =>
  byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09 || byte === 0x0c || byte === 0x00;
const isDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x30 && byte <= 0x39;
const DELIMITERS = new Set([...'()<>[]{}/%'].map((char) => char.charCodeAt(0)));
const isRegular = (byte: number | undefined): boolean =>
  byte !== undefined && !isSpace(byte) && !DELIMITERS.has(byte) && byte > 0x20 && byte < 0x7f;

/** Reads tokens and objects one after the other. Throws {@link PdfFault}. */
export class PdfScanner {
  readonly bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.bytes = bytes;
    this.at = at;
  }

  fault(detail: string): PdfFault {
    return new PdfFault('malformed', `byte ${this.at}: ${detail}`);
  }

  skipSpace(): void {
    while (isSpace(this.bytes[this.at])) this.at++;
  }

  startsWith(text: string): boolean {
    for (let i = 0; i < text.length; i++) if (this.bytes[this.at + i] !== text.charCodeAt(i)) return false;
    return true;
  }

  /** The keyword, not as the beginning of a longer one. */
  keyword(text: string): void {
    if (!this.startsWith(text) || isRegular(this.bytes[this.at + text.length])) throw this.fault(`${text} is expected`);
    this.at += text.length;
  }

  /** One end of line: LF, or CR LF. */
  endOfLine(): void {
    if (this.bytes[this.at] === 0x0d && this.bytes[this.at + 1] === 0x0a) this.at += 2;
    else if (this.bytes[this.at] === 0x0a) this.at++;
    else throw this.fault('an end of line is expected');
  }

  /** A decimal of at most `maxDigits` digits without a sign. */
  unsigned(maxDigits: number): number {
    const from = this.at;
    while (isDigit(this.bytes[this.at])) this.at++;
    const digits = this.at - from;
    if (digits === 0 || digits > maxDigits) throw this.fault('a number is expected');
    return Number(this.#ascii(from, this.at));
  }

  /** `n 0 obj … endobj`, with its stream if it has one. */
  object(): PdfObject {
    const number = this.unsigned(6);
    if (number === 0 || number > MAX_OBJECT_NUMBER) throw this.fault(`object number ${number}`);
    this.skipSpace();
    if (this.unsigned(5) !== 0) throw new PdfFault('unsupported', `object ${number} of another generation than 0`);
    this.skipSpace();
    this.keyword('obj');
    const value = this.value();
    this.skipSpace();
    const stream = this.startsWith('stream') ? this.#stream(value) : undefined;
    this.skipSpace();
    this.keyword('endobj');
    return { number, value, stream, to: this.at };
  }

  value(depth = 0): PdfValue {
    if (depth > MAX_DEPTH) throw this.fault(`nested deeper than ${MAX_DEPTH}`);
    this.skipSpace();
    const byte = this.bytes[this.at];
    const next = this.bytes[this.at + 1];
    if (byte === 0x2f) return { kind: 'name', name: this.#name() };
    if (byte === 0x3c && next === 0x3c) return this.#dict(depth);
    if (byte === 0x3c) return this.#hexString();
    if (byte === 0x28) return this.#literalString();
    if (byte === 0x5b) return this.#array(depth);
    if (isDigit(byte) || byte === 0x2b || byte === 0x2d || byte === 0x2e) return this.#numberOrRef();
    for (const [word, value] of [
      ['true', { kind: 'boolean', value: true }],
      ['false', { kind: 'boolean', value: false }],
      ['null', { kind: 'null' }],
    ] as const)
      if (this.startsWith(word)) {
        this.keyword(word);
        return value;
      }
    throw this.fault('no object begins here');
  }

  #ascii(from: number, to: number): string {
    return String.fromCharCode(...this.bytes.subarray(from, Math.min(to, from + 512)));
  }

  #name(): string {
    this.at++;
    let name = '';
    for (let byte = this.bytes[this.at]; isRegular(byte); byte = this.bytes[this.at]) {
      if (byte === 0x23) {
        const code = Number.parseInt(this.#ascii(this.at + 1, this.at + 3), 16);
        if (!/^[0-9A-Fa-f]{2}$/.test(this.#ascii(this.at + 1, this.at + 3)) || code === 0)
          throw this.fault('escape in a name');
        name += String.fromCharCode(code);
        this.at += 3;
      } else {
        name += String.fromCharCode(byte as number);
        this.at++;
      }
      if (name.length > 127) throw this.fault('a name of more than 127 bytes');
    }
    return name;
  }

  #dict(depth: number): PdfDict {
    this.at += 2;
    const entries = new Map<string, PdfValue>();
    for (;;) {
      this.skipSpace();
      if (this.startsWith('>>')) break;
      if (this.bytes[this.at] !== 0x2f) throw this.fault('a key is expected');
      const key = this.#name();
      // Readers differ in which of two entries they believe.
      if (entries.has(key)) throw this.fault(`key ${key} twice`);
      entries.set(key, this.value(depth + 1));
      if (entries.size > MAX_ENTRIES) throw this.fault(`more than ${MAX_ENTRIES} entries`);
    }
    this.at += 2;
    return { kind: 'dict', entries };
  }

  #array(depth: number): PdfArray {
    this.at++;
    const items: PdfValue[] = [];
    for (;;) {
      this.skipSpace();
      if (this.bytes[this.at] === 0x5d) break;
      items.push(this.value(depth + 1));
      if (items.length > MAX_ENTRIES) throw this.fault(`more than ${MAX_ENTRIES} items`);
    }
    this.at++;
    return { kind: 'array', items };
  }

  #hexString(): PdfString {
    const from = this.at++;
    const digits: number[] = [];
    for (;;) {
      const byte = this.bytes[this.at++];
      if (byte === 0x3e) break;
      if (isSpace(byte)) continue;
      const digit = byte === undefined ? Number.NaN : Number.parseInt(String.fromCharCode(byte), 16);
      if (Number.isNaN(digit)) throw this.fault('a hex digit is expected');
      digits.push(digit);
    }
    const bytes = new Uint8Array(Math.ceil(digits.length / 2));
    digits.forEach((digit, i) => {
      bytes[i >> 1] = (bytes[i >> 1] as number) | (i % 2 === 0 ? digit << 4 : digit);
    });
    return { kind: 'string', bytes, isHex: true, from, to: this.at };
  }

  #literalString(): PdfString {
    const from = this.at++;
    const out: number[] = [];
    for (let open = 1; open > 0; ) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw this.fault('a string without end');
      if (byte === 0x5c) {
        const code = this.#escape();
        if (code !== undefined) out.push(code);
        continue;
      }
      if (byte === 0x28) open++;
      if (byte === 0x29) open--;
      if (open > 0) out.push(byte);
    }
    return { kind: 'string', bytes: Uint8Array.from(out), isHex: false, from, to: this.at };
  }

  /** The byte after a backslash; undefined for an escaped end of line. */
  #escape(): number | undefined {
    const byte = this.bytes[this.at++];
    if (byte === undefined) throw this.fault('a string without end');
    const char = String.fromCharCode(byte);
    const plain = { n: 0x0a, r: 0x0d, t: 0x09, b: 0x08, f: 0x0c, '(': 0x28, ')': 0x29, '\\': 0x5c }[char];
    if (plain !== undefined) return plain;
    if (byte === 0x0a) return undefined;
    if (!/[0-7]/.test(char)) throw this.fault('escape in a string');
    let code = byte - 0x30;
    for (let i = 0; i < 2 && /[0-7]/.test(this.#ascii(this.at, this.at + 1)); i++)
      code = code * 8 + ((this.bytes[this.at++] as number) - 0x30);
    return code & 0xff;
  }

  #numberOrRef(): PdfValue {
    const from = this.at;
    while (isRegular(this.bytes[this.at])) this.at++;
    const text = this.#ascii(from, this.at);
    if (!/^[+-]?(?:\d{1,10}(?:\.\d{0,12})?|\.\d{1,12})$/.test(text)) throw this.fault(`number ${text.slice(0, 20)}`);
    const end = this.at;
    if (/^\d{1,6}$/.test(text)) {
      this.skipSpace();
      if (this.bytes[this.at] === 0x30 && isSpace(this.bytes[this.at + 1])) {
        this.at++;
        this.skipSpace();
        if (this.startsWith('R') && !isRegular(this.bytes[this.at + 1])) {
          this.at++;
          if (Number(text) > MAX_OBJECT_NUMBER) throw this.fault(`object number ${text}`);
          return { kind: 'ref', number: Number(text) };
        }
      }
      this.at = end;
    }
    return { kind: 'number', value: Number(text) };
  }

  #stream(dict: PdfValue): Uint8Array {
    this.keyword('stream');
    this.endOfLine();
    const length = dict.kind === 'dict' ? dict.entries.get('Length') : undefined;
    if (length?.kind !== 'number')
      throw new PdfFault('unsupported', `byte ${this.at}: a stream without a direct length`);
    const to = this.at + length.value;
    if (!Number.isSafeInteger(length.value) || length.value < 0 || to > this.bytes.length)
      throw this.fault(`stream length ${length.value}`);
    const stream = this.bytes.subarray(this.at, to);
    this.at = to;
    if (!this.startsWith('endstream')) this.endOfLine();
    this.keyword('endstream');
    return stream;
  }
}

/** The entry, undefined when `value` is no dictionary or has none. */
export const entryOf = (value: PdfValue | undefined, key: string): PdfValue | undefined =>
  value?.kind === 'dict' ? value.entries.get(key) : undefined;
export const nameOf = (value: PdfValue | undefined): string | undefined =>
  value?.kind === 'name' ? value.name : undefined;

/** Whether two values say the same. References are compared as such, not followed. */
export function isSameValue(a: PdfValue | undefined, b: PdfValue | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  switch (a.kind) {
    case 'null':
      return b.kind === 'null';
    case 'boolean':
    case 'number':
      return b.kind === a.kind && a.value === b.value;
    case 'name':
      return b.kind === 'name' && a.name === b.name;
    case 'ref':
      return b.kind === 'ref' && a.number === b.number;
    case 'string':
      return (
        b.kind === 'string' && a.bytes.length === b.bytes.length && a.bytes.every((byte, i) => byte === b.bytes[i])
      );
    case 'array':
      return (
        b.kind === 'array' &&
        a.items.length === b.items.length &&
        a.items.every((item, i) => isSameValue(item, b.items[i]))
      );
    case 'dict':
      return (
        b.kind === 'dict' &&
        a.entries.size === b.entries.size &&
        [...a.entries].every(([key, value]) => isSameValue(value, b.entries.get(key)))
      );
  }
}
