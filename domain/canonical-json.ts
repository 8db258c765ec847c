import canonicalize from 'canonicalize';
import { utf8 } from './bytes.ts';

/** A value of I-JSON (RFC 7493): what can be canonicalised without loss. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/**
 * The canonical form of a JSON value (JCS, RFC 8785) as text. Members whose value is `undefined` are left out.
 * Throws on NaN, infinities, BigInt and lone surrogates.
 */
export function canonicalText(value: unknown): string {
  const text = canonicalize(value);
  if (text === undefined) throw new TypeError('undefined has no canonical form');
  return text;
}

/** The canonical form of a JSON value (JCS, RFC 8785) as UTF-8 bytes: what is hashed and signed. */
export function canonicalBytes(value: unknown): Uint8Array {
  return utf8.encode(canonicalText(value));
}
