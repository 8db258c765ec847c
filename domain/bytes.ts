/**
 * Text forms of bytes, each with exactly one spelling: lower-case hex, and base64url without padding
 * (RFC 4648 §5) whose unused bits are zero. Any other spelling of the same bytes is refused, so that two
 * documents with the same meaning have the same hash.
 */

const HEX = /^(?:[0-9a-f]{2})*$/;
const B64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const B64URL_VALUE = new Int8Array(128).fill(-1);
for (let i = 0; i < 64; i++) B64URL_VALUE[B64URL.charCodeAt(i)] = i;

const HEX_CODES = Uint8Array.from('0123456789abcdef', (digit) => digit.charCodeAt(0));
const B64URL_CODES = Uint8Array.from(B64URL, (digit) => digit.charCodeAt(0));
const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
// Text is made from codes in pieces of this many: joined character by character it is a rope of small pieces, whose
// collection took a third of a worker's time.
const PIECE = 4_096;
const codes = new Uint8Array(PIECE);
const textOf = (length: number): string =>
  String.fromCharCode.apply(undefined, codes.subarray(0, length) as unknown as number[]);

export const utf8 = {
  encode: (text: string): Uint8Array => encoder.encode(text),
  /** Throws TypeError on ill-formed UTF-8. A byte order mark is kept as a character. */
  decode: (bytes: Uint8Array): string => decoder.decode(bytes),
};

export function toHex(bytes: Uint8Array): string {
  let out = '';
  let at = 0;
  for (const byte of bytes) {
    codes[at++] = HEX_CODES[byte >> 4] as number;
    codes[at++] = HEX_CODES[byte & 15] as number;
    if (at === PIECE) {
      out += textOf(at);
      at = 0;
    }
  }
  return out + textOf(at);
}

/** Undefined unless `text` is lower-case hex of whole bytes. */
export function fromHex(text: string): Uint8Array | undefined {
  if (!HEX.test(text)) return undefined;
  const out = new Uint8Array(text.length / 2);
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return out;
}

export function toBase64Url(bytes: Uint8Array): string {
  let out = '';
  let at = 0;
  for (let i = 0; i < bytes.length; i += 3) {
    const a = bytes[i] as number;
    const b = bytes[i + 1];
    const c = bytes[i + 2];
    codes[at++] = B64URL_CODES[a >> 2] as number;
    codes[at++] = B64URL_CODES[((a & 3) << 4) | ((b ?? 0) >> 4)] as number;
    if (b !== undefined) codes[at++] = B64URL_CODES[((b & 15) << 2) | ((c ?? 0) >> 6)] as number;
    if (c !== undefined) codes[at++] = B64URL_CODES[c & 63] as number;
    if (at === PIECE) {
      out += textOf(at);
      at = 0;
    }
  }
  return out + textOf(at);
}

/** Undefined unless `text` is the canonical, unpadded base64url form of some bytes. */
export function fromBase64Url(text: string): Uint8Array | undefined {
  const rest = text.length % 4;
  if (rest === 1) return undefined;
  const out = new Uint8Array(Math.floor((text.length * 3) / 4));
  let bits = 0;
  let held = 0;
  let at = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const value = code < 128 ? (B64URL_VALUE[code] as number) : -1;
    if (value < 0) return undefined;
    bits = ((bits << 6) | value) & 0xffff;
    held += 6;
    if (held >= 8) {
      held -= 8;
      out[at++] = (bits >> held) & 0xff;
    }
  }
  if ((bits & ((1 << held) - 1)) !== 0) return undefined;
  return out;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let diff = 0;
  for (let i = 0; i < a.length; i++) diff |= (a[i] as number) ^ (b[i] as number);
  return diff === 0;
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
