/**
 * The form of every file that a licence issuer signs: a compact JWS (RFC 7515, EdDSA over Ed25519, RFC 8037) whose
 * header and payload are canonical JSON (RFC 8785), so that one statement has one file and one hash. `typ` keeps the
 * kinds of file apart: a signature over one never stands for another.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { fromBase64Url, toBase64Url, toHex, utf8 } from '../bytes.ts';
import { canonicalBytes, canonicalText } from '../canonical-json.ts';
import { ProoflineError } from '../errors.ts';
import { object, oneOf, type Read, ShapeFault, text } from '../shape.ts';
import { parseStrictJson } from '../strict-json.ts';

/** Bytes of a signed file. */
export const MAX_FILE_BYTES = 65_536;

/** A file as read, its signature not yet verified. */
export interface SignedFile<T> {
  readonly payload: T;
  readonly kid: string;
  /** What the signature covers: the JWS signing input in ASCII. */
  readonly signed: Uint8Array;
  /** 64 bytes. */
  readonly signature: Uint8Array;
  /** Hex SHA-256 of the file's text. */
  readonly hash: string;
}

const kid = text('1 to 64 letters, digits, ".", "_" or "-"', 64, /^[A-Za-z0-9._-]+$/);

/**
 * Reads a signed file strictly: at most 64 KiB, three canonical base64url parts, header and payload in canonical form,
 * the header of this `typ`, no unknown member. Throws GRANT_MALFORMED with what stands where.
 */
export function parseSignedFile<T>(file: string, typ: string, read: Read<T>): SignedFile<T> {
  const [head, payload, signature] = partsOf(file);
  if (signature.length !== 64) throw malformed(`the signature has ${signature.length} bytes, not 64`);
  return {
    kid: readCanonical(head, object({ alg: oneOf('EdDSA'), kid, typ: oneOf(typ) }), 'header').kid,
    payload: readCanonical(payload, read, 'payload'),
    signed: utf8.encode(file.slice(0, file.lastIndexOf('.'))),
    signature,
    hash: fileHash(file),
  };
}

/**
 * The file within a text: white space around it is passed over, and lines that begin with ">" before it, which `npm run`
 * prints ahead of the tool's own output.
 */
export function fileWithin(text: string): string {
  return text.trim().replace(/^(?:>[^\n]*\n\s*)+/, '');
}

/** The `typ` of a file's header. Throws GRANT_MALFORMED. */
export function typeOfFile(file: string): string {
  const [head] = partsOf(file);
  return readCanonical(head, object({ alg: oneOf('EdDSA'), kid, typ: text('a type', 64, () => true) }), 'header').typ;
}

/** Hex SHA-256 of a signed file. */
export function fileHash(file: string): string {
  return toHex(sha256(utf8.encode(file)));
}

/** What an issuer signs. The payload is read back strictly first: a file that no import accepts is never made. */
export function signingInput<T>(value: T, signerKid: string, typ: string, read: Read<T>): string {
  const payload = canonicalBytes(value);
  readCanonical(payload, read, 'payload');
  return `${toBase64Url(canonicalBytes({ alg: 'EdDSA', kid: signerKid, typ }))}.${toBase64Url(payload)}`;
}

function partsOf(file: string): readonly [Uint8Array, Uint8Array, Uint8Array] {
  if (file.length > MAX_FILE_BYTES) throw malformed(`${file.length} characters, at most ${MAX_FILE_BYTES}`);
  const parts = file.split('.');
  const [head, payload, signature] = parts.map(fromBase64Url);
  if (parts.length !== 3 || head === undefined || payload === undefined || signature === undefined)
    throw malformed('three parts of base64url without padding are expected, joined by dots');
  return [head, payload, signature];
}

function readCanonical<T>(bytes: Uint8Array, read: Read<T>, what: string): T {
  try {
    const json = utf8.decode(bytes);
    const value = parseStrictJson(json);
    if (canonicalText(value) !== json) throw malformed(`the ${what} is not in canonical form (RFC 8785)`);
    return read(value, '$');
  } catch (error) {
    if (error instanceof ShapeFault) throw malformed(`${what} ${error.path}: ${error.expected}`);
    if (error instanceof ProoflineError && error.code === 'GRANT_MALFORMED') throw error;
    throw new ProoflineError('GRANT_MALFORMED', `the ${what} is not strict JSON in UTF-8`, { cause: error });
  }
}

function malformed(detail: string): ProoflineError {
  return new ProoflineError('GRANT_MALFORMED', detail);
}
