/** Issuer keys: a JWKS (RFC 7517) of Ed25519 public keys (RFC 8037), and the signatures that they make and verify. */
import { sha256 } from '@noble/hashes/sha2.js';
import { fromBase64Url, toBase64Url, toHex, utf8 } from '../bytes.ts';
import { ProoflineError } from '../errors.ts';
import { list, oneOf, openObject, ShapeFault, text } from '../shape.ts';
import { parseStrictJson } from '../strict-json.ts';
import { type Grant, grantSigningInput } from './grant.ts';
import { type RevocationList, revocationListSigningInput } from './revocation-list.ts';
import type { SignedFile } from './signed-file.ts';

/** A public key by its id. */
export type IssuerKeys = ReadonlyMap<string, JsonWebKey>;

const kid = text('1 to 64 letters, digits, ".", "_" or "-"', 64, /^[A-Za-z0-9._-]+$/);
const key32 = text('32 bytes of base64url', 43, (value) => fromBase64Url(value)?.length === 32);
const publicMembers = { kid, kty: oneOf('OKP'), crv: oneOf('Ed25519'), x: key32 };
const publicKey = openObject(publicMembers, { d: key32 });
const keySet = openObject({ keys: list(publicKey, 32) });
const privateKey = openObject({ ...publicMembers, d: key32 });

/**
 * Reads a JWKS of public Ed25519 keys with distinct ids. Throws CONFIG_INVALID; a private key in it is refused, since
 * it does not belong on this machine.
 */
export function parseIssuerKeys(json: string): IssuerKeys {
  const { keys } = readKey(json, keySet);
  const out = new Map<string, JsonWebKey>();
  for (const { kid, kty, crv, x, d } of keys) {
    if (d !== undefined) throw new ProoflineError('CONFIG_INVALID', `issuer key ${kid} holds its private half`);
    if (out.has(kid)) throw new ProoflineError('CONFIG_INVALID', `issuer key ${kid} is there twice`);
    out.set(kid, { kty, crv, x });
  }
  return out;
}

/** Throws GRANT_ISSUER_UNKNOWN if no key of the file's kid is configured, GRANT_SIGNATURE_INVALID unless it made the signature. */
export async function verifyGrantSignature(
  file: Pick<SignedFile<unknown>, 'kid' | 'signed' | 'signature'>,
  issuers: IssuerKeys,
): Promise<void> {
  const jwk = issuers.get(file.kid);
  if (jwk === undefined) throw new ProoflineError('GRANT_ISSUER_UNKNOWN', `no issuer key "${file.kid}" is configured`);
  const key = await crypto.subtle.importKey('jwk', jwk, 'Ed25519', false, ['verify']);
  if (!(await crypto.subtle.verify('Ed25519', key, file.signature.slice(), file.signed.slice())))
    throw new ProoflineError('GRANT_SIGNATURE_INVALID', `the signature does not verify under issuer key "${file.kid}"`);
}

/** The private key of an issuer, a JWK with kid. */
export interface IssuerKey {
  readonly kid: string;
  readonly jwk: JsonWebKey;
}

/** Reads an issuer's private JWK. Throws CONFIG_INVALID; the text is never repeated. */
export function parseIssuerKey(json: string): IssuerKey {
  const { kid, kty, crv, x, d } = readKey(json, privateKey);
  return { kid, jwk: { kty, crv, x, d } };
}

/** Signs a grant: the text of its file. Throws GRANT_MALFORMED if no import would read it. */
export async function issueGrant(grant: Grant, issuer: IssuerKey): Promise<string> {
  return await signFile(grantSigningInput(grant, issuer.kid), issuer);
}

/** Signs a revocation list: the text of its file. Throws GRANT_MALFORMED if no import would read it. */
export async function issueRevocationList(revocations: RevocationList, issuer: IssuerKey): Promise<string> {
  return await signFile(revocationListSigningInput(revocations, issuer.kid), issuer);
}

async function signFile(input: string, issuer: IssuerKey): Promise<string> {
  const key = await crypto.subtle.importKey('jwk', issuer.jwk, 'Ed25519', false, ['sign']);
  const signature = await crypto.subtle.sign('Ed25519', key, utf8.encode(input).slice());
  return `${input}.${toBase64Url(new Uint8Array(signature))}`;
}

/**
 * Which installation a grant is for: hex SHA-256 over its stable instance id. Not a secret: the id is published in
 * /.well-known/proofline.json.
 */
export function instanceFingerprint(instance: string): string {
  return toHex(sha256(utf8.encode(`proofline/instance-fingerprint/v1\n${instance}`)));
}

function readKey<T>(json: string, read: (value: unknown, path: string) => T): T {
  try {
    return read(parseStrictJson(json), '$');
  } catch (error) {
    const why = error instanceof ShapeFault ? `${error.path}: ${error.expected}` : 'it is not JSON';
    throw new ProoflineError('CONFIG_INVALID', `the issuer key cannot be read: ${why}`);
  }
}
