/** A proof to submit, as clients write it, checked from outside. */
import { canonicalText } from './canonical-json.ts';
import { type Digest, parseDigest } from './digest.ts';
import { ProoflineError } from './errors.ts';

export interface ProofInput {
  readonly digest: Digest;
  readonly reference?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** Proofs that one submission holds at most. */
export const MAX_ITEMS = 10_000;
/** Bytes of metadata in canonical form. */
export const MAX_METADATA_BYTES = 16_384;
/** Characters (code points) of a reference. */
export const MAX_REFERENCE_LENGTH = 256;

const MEMBERS = ['digest', 'reference', 'metadata'];
// In canonical text U+0000 is written as an escape; the backslash before it is not itself escaped.
const ESCAPED_NUL = /(?<!\\)(?:\\\\)*\\u0000/;

/**
 * Checks one item. Throws REQUEST_INVALID, DIGEST_ALGORITHM_UNKNOWN, DIGEST_MALFORMED, REFERENCE_TOO_LONG or
 * METADATA_TOO_LARGE. U+0000 is refused everywhere: the store cannot hold it.
 */
export function parseProofInput(value: unknown): ProofInput {
  if (!isObject(value)) throw new ProoflineError('REQUEST_INVALID', 'a proof to submit is a JSON object');
  const unknown = Object.keys(value).find((name) => !MEMBERS.includes(name));
  if (unknown !== undefined)
    throw new ProoflineError('REQUEST_INVALID', `unknown member ${JSON.stringify(unknown.slice(0, 40))}`);
  const { digest, reference, metadata } = value;
  return {
    digest: parseDigestMember(digest),
    ...(reference === undefined ? {} : { reference: parseReference(reference) }),
    ...(metadata === undefined ? {} : { metadata: parseMetadata(metadata) }),
  };
}

/** Checks a reference. Throws REQUEST_INVALID or REFERENCE_TOO_LONG. */
export function parseReference(value: unknown): string {
  if (typeof value !== 'string' || value === '' || value.includes('\0'))
    throw new ProoflineError('REQUEST_INVALID', 'a reference is text, not empty, without U+0000');
  const length = [...value].length;
  if (length > MAX_REFERENCE_LENGTH)
    throw new ProoflineError('REFERENCE_TOO_LONG', `${length} characters, at most ${MAX_REFERENCE_LENGTH}`);
  return value;
}

function parseDigestMember(value: unknown): Digest {
  if (!isObject(value)) throw new ProoflineError('REQUEST_INVALID', 'digest is missing or not an object {alg, value}');
  const unknown = Object.keys(value).find((name) => name !== 'alg' && name !== 'value');
  if (unknown !== undefined)
    throw new ProoflineError('REQUEST_INVALID', `unknown member digest.${JSON.stringify(unknown.slice(0, 40))}`);
  return parseDigest({ alg: value.alg, value: value.value });
}

function parseMetadata(value: unknown): Readonly<Record<string, unknown>> {
  if (!isObject(value)) throw new ProoflineError('REQUEST_INVALID', 'metadata is a JSON object');
  const text = canonicalText(value);
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > MAX_METADATA_BYTES)
    throw new ProoflineError('METADATA_TOO_LARGE', `${bytes} bytes as canonical JSON, at most ${MAX_METADATA_BYTES}`);
  if (ESCAPED_NUL.test(text)) throw new ProoflineError('REQUEST_INVALID', 'metadata holds U+0000');
  return value;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
