/** What must be in the document security store so that the chains are good without any server. */
import { equalBytes } from '../../domain/bytes.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { createVerificationCache, type VerificationCache } from '../../domain/timestamp/cache.ts';
import { type Certificate, nameText, readCertificate } from '../../domain/timestamp/certificate.ts';
import { checkRevocation } from '../../domain/timestamp/chain.ts';
import { readCrl } from '../../domain/timestamp/crl.ts';
import { readTimestampToken } from '../../domain/timestamp/token.ts';
import type { ValidationMaterial } from './add-dss.ts';

/** The newest complete revocation list (DER) of the issuer of a certificate (DER). */
export type FetchRevocation = (certificate: Uint8Array) => Promise<Uint8Array>;

export interface ValidationRequest {
  /** Chain of the signer, DER; empty where only a token is to be covered. */
  readonly chain: readonly Uint8Array[];
  /** RFC 3161 token, DER, with its certificates. */
  readonly token: Uint8Array;
  /** Roots and intermediates that the token may leave out, DER. */
  readonly roots: readonly Uint8Array[];
  /** Lists must be of this moment or later: one made before the signature says nothing about it. Microseconds. */
  readonly signedAtMicros: bigint;
  readonly nowMicros: bigint;
  readonly fetchRevocation: FetchRevocation;
}

const sharedCache = createVerificationCache();

/**
 * Certificates of both chains and one list per certificate that is not its own issuer. Throws REVOCATION_UNAVAILABLE
 * while a list is not a complete one in force or is older than the signature, CERTIFICATE_REVOKED, CERTIFICATE_CHAIN_INCOMPLETE, and what
 * `fetchRevocation` throws.
 */
export async function collectValidation(
  request: ValidationRequest,
  cache: VerificationCache = sharedCache,
): Promise<ValidationMaterial> {
  const read = (der: Uint8Array): Certificate => readCertificate(der, cache);
  const named = [...request.chain, ...readTimestampToken(request.token).certificates].map(read);
  const roots = request.roots.map(read);
  const used = new Map(named.map((certificate) => [certificate.fingerprint, certificate]));
  const crls = new Map<string, Uint8Array>();
  const open = [...used.values()];
  for (let certificate = open.shift(); certificate !== undefined; certificate = open.shift()) {
    if (equalBytes(certificate.issuer, certificate.subject)) continue;
    const below = certificate;
    const issuer = [...used.values(), ...roots].find((c) => equalBytes(c.subject, below.issuer));
    if (issuer === undefined)
      throw new ProoflineError('CERTIFICATE_CHAIN_INCOMPLETE', `no certificate of "${nameText(below.issuer)}"`);
    if (!used.has(issuer.fingerprint)) {
      used.set(issuer.fingerprint, issuer);
      open.push(issuer);
    }
    const crl = await fetchGood(request, below, issuer, cache);
    crls.set(readCrl(crl, cache).fingerprint, crl);
  }
  return { certificates: [...used.values()].map((certificate) => certificate.raw), crls: [...crls.values()] };
}

async function fetchGood(
  { fetchRevocation, signedAtMicros, nowMicros }: ValidationRequest,
  certificate: Certificate,
  issuer: Certificate,
  cache: VerificationCache,
): Promise<Uint8Array> {
  const der = await fetchRevocation(certificate.raw);
  const crl = readCrl(der, cache);
  const verdict = await checkRevocation([certificate, issuer], [crl], signedAtMicros, nowMicros, cache);
  const name = nameText(certificate.subject);
  if (verdict.verdict === 'revoked') throw new ProoflineError('CERTIFICATE_REVOKED', `"${name}": ${verdict.detail}`);
  if (verdict.verdict === 'unverified')
    throw new ProoflineError('REVOCATION_UNAVAILABLE', `"${name}": ${verdict.code}: ${verdict.detail}`);
  // Lists carry whole seconds.
  if (crl.thisUpdate.epochMicros + 1_000_000n <= signedAtMicros)
    throw new ProoflineError(
      'REVOCATION_UNAVAILABLE',
      `the list for "${name}" is of ${crl.thisUpdate.text}, before the signature`,
    );
  return der;
}
