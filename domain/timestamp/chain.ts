/**
 * Certification paths at one instant (RFC 5280 §6, without policy processing and name constraints, which are refused when
 * critical): leaf, intermediates from the token, a configured root; then revocation of each certificate below the root.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { equalBytes, toHex } from '../bytes.ts';
import type { VerificationCache } from './cache.ts';
import { type Certificate, KEY_USAGE, type SignedObject } from './certificate.ts';
import { type Crl, revokesAt } from './crl.ts';
import { OID } from './oids.ts';
import { isSignedBy } from './signature.ts';

const MAX_PATH = 6;
/** Bounds what a token full of namesakes can cost. */
const MAX_SIGNATURE_CHECKS = 24;

export type ChainCode =
  | 'CHAIN_UNTRUSTED'
  | 'CERTIFICATE_NOT_VALID_AT_TIME'
  | 'CERTIFICATE_CRITICAL_EXTENSION'
  | 'CERTIFICATE_NOT_CA';
export type PathResult =
  | { readonly path: readonly Certificate[] }
  | { readonly code: ChainCode; readonly detail: string };

/** Finds a path from `leaf` (first) to one of `roots` (last), every certificate valid at `atMicros`. */
export async function buildPath(
  leaf: Certificate,
  intermediates: readonly Certificate[],
  roots: readonly Certificate[],
  atMicros: bigint,
  cache: VerificationCache,
): Promise<PathResult> {
  let refusal: { code: ChainCode; detail: string } | undefined;
  let checks = 0;
  const own = refuse(leaf, atMicros);
  if (own !== undefined) return own;

  async function search(path: readonly Certificate[]): Promise<readonly Certificate[] | undefined> {
    const last = path[path.length - 1] as Certificate;
    if (roots.some((root) => root.fingerprint === last.fingerprint)) return path;
    if (path.length === MAX_PATH) return undefined;
    for (const issuer of [...roots, ...intermediates]) {
      if (!equalBytes(issuer.subject, last.issuer) || path.includes(issuer)) continue;
      const refused = refuse(issuer, atMicros) ?? refuseAsIssuer(issuer, path, roots);
      if (refused !== undefined) {
        refusal = refused;
        continue;
      }
      if (++checks > MAX_SIGNATURE_CHECKS) return undefined;
      if (!(await isObjectSignedBy(last, issuer, cache))) continue;
      const found = await search([...path, issuer]);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  const path = await search([leaf]);
  return path === undefined
    ? (refusal ?? { code: 'CHAIN_UNTRUSTED', detail: 'no path to a configured root' })
    : { path };
}

function refuse(certificate: Certificate, atMicros: bigint): { code: ChainCode; detail: string } | undefined {
  const { notBefore, notAfter, unknownCritical } = certificate;
  if (atMicros < notBefore.epochMicros || atMicros >= notAfter.epochMicros + 1_000_000n)
    return { code: 'CERTIFICATE_NOT_VALID_AT_TIME', detail: `valid from ${notBefore.text} to ${notAfter.text}` };
  if (unknownCritical.length > 0) return { code: 'CERTIFICATE_CRITICAL_EXTENSION', detail: unknownCritical.join(', ') };
  return undefined;
}

function refuseAsIssuer(
  issuer: Certificate,
  below: readonly Certificate[],
  roots: readonly Certificate[],
): { code: ChainCode; detail: string } | undefined {
  if (!issuer.isCa) return { code: 'CERTIFICATE_NOT_CA', detail: 'basicConstraints without cA' };
  if (issuer.keyUsage !== undefined && !issuer.keyUsage.has(KEY_USAGE.keyCertSign))
    return { code: 'CERTIFICATE_NOT_CA', detail: 'keyUsage without keyCertSign' };
  const between = below.slice(1).filter((certificate) => !equalBytes(certificate.subject, certificate.issuer)).length;
  if (issuer.pathLength !== undefined && between > issuer.pathLength)
    return { code: 'CERTIFICATE_NOT_CA', detail: `pathLenConstraint ${issuer.pathLength}, ${between} below` };
  // Purposes of an intermediate bind those below it, as every common validator has it; those of an anchor do not.
  const isRoot = roots.some((root) => root.fingerprint === issuer.fingerprint);
  const purposes = issuer.extKeyUsage?.oids;
  if (
    !isRoot &&
    purposes !== undefined &&
    !purposes.includes(OID.timeStamping) &&
    !purposes.includes(OID.anyExtendedKeyUsage)
  )
    return { code: 'CERTIFICATE_NOT_CA', detail: 'intermediate not for timestamping' };
  return undefined;
}

/** Whether `issuer` signed the certificate or CRL; remembered by both fingerprints. */
export function isObjectSignedBy(
  object: SignedObject,
  issuer: Certificate,
  cache: VerificationCache,
): Promise<boolean> {
  const { scheme } = object;
  if (scheme === undefined) return Promise.resolve(false);
  const key = `${object.fingerprint}:${toHex(sha256(issuer.spki))}`;
  return cache.signatures.getOrMake(key, () =>
    isSignedBy(issuer.spki, scheme, object.signature, object.tbs, cache).catch(() => false),
  );
}

export type RevocationVerdict =
  | { readonly verdict: 'good' }
  | { readonly verdict: 'unverified'; readonly code: 'CRL_ABSENT' | 'CRL_STALE'; readonly detail: string }
  | { readonly verdict: 'revoked'; readonly detail: string };

/**
 * Looks each certificate below the root up in the CRL of its issuer. A list counts as good only if it is complete, signed
 * by that issuer, and not yet past its nextUpdate at `freshAtMicros`; an entry in an older one still revokes.
 */
export async function checkRevocation(
  path: readonly Certificate[],
  crls: readonly Crl[],
  atMicros: bigint,
  freshAtMicros: bigint,
  cache: VerificationCache,
): Promise<RevocationVerdict> {
  let open: RevocationVerdict = { verdict: 'good' };
  for (let i = 0; i + 1 < path.length; i++) {
    const certificate = path[i] as Certificate;
    const issuer = path[i + 1] as Certificate;
    const found = await lookUp(certificate, issuer, crls, atMicros, freshAtMicros, cache);
    if (found.verdict === 'revoked') return found;
    if (found.verdict === 'unverified' && open.verdict === 'good') open = found;
  }
  return open;
}

async function lookUp(
  certificate: Certificate,
  issuer: Certificate,
  crls: readonly Crl[],
  atMicros: bigint,
  freshAtMicros: bigint,
  cache: VerificationCache,
): Promise<RevocationVerdict> {
  const maySign = issuer.keyUsage === undefined || issuer.keyUsage.has(KEY_USAGE.cRLSign);
  let hasList = false;
  let isFresh = false;
  for (const crl of crls) {
    if (!maySign || !equalBytes(crl.issuer, issuer.subject) || !(await isObjectSignedBy(crl, issuer, cache))) continue;
    const entry = crl.revoked.get(certificate.serial);
    if (entry !== undefined && revokesAt(entry, atMicros))
      return {
        verdict: 'revoked',
        detail: `serial ${certificate.serial} revoked at ${entry.at.text}, reason ${entry.reason ?? 'not given'}`,
      };
    hasList = true;
    if (crl.isComplete && crl.nextUpdate !== undefined && freshAtMicros < crl.nextUpdate.epochMicros) isFresh = true;
  }
  if (isFresh) return { verdict: 'good' };
  return hasList
    ? { verdict: 'unverified', code: 'CRL_STALE', detail: `no complete CRL in force for serial ${certificate.serial}` }
    : { verdict: 'unverified', code: 'CRL_ABSENT', detail: `no CRL of the issuer of serial ${certificate.serial}` };
}
