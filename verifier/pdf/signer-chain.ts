/** The certificate that sealed a PDF: a path to a pinned signing root at the time of the timestamp, and its revocation. */
import { toBase64Url } from '../../domain/bytes.ts';
import type { VerificationCache } from '../../domain/timestamp/cache.ts';
import { type Certificate, KEY_USAGE, nameText } from '../../domain/timestamp/certificate.ts';
import { buildPath, checkRevocation } from '../../domain/timestamp/chain.ts';
import type { Crl } from '../../domain/timestamp/crl.ts';
import { OID } from '../../domain/timestamp/oids.ts';
import { attempt } from '../../domain/timestamp/points.ts';
import { compromiseOf, type TrustView } from '../trust-view.ts';
import { type ClaimResult, result } from '../verdict.ts';
import type { JudgedStamp } from './stamps.ts';

export interface SignerEvidence {
  readonly leaf: Certificate;
  readonly pool: readonly Certificate[];
  readonly roots: readonly Certificate[];
  readonly crls: readonly Crl[];
  readonly stamp: JudgedStamp | undefined;
  readonly view: TrustView;
}

export interface JudgedSigner {
  readonly claim: ClaimResult;
  /** The path is good and a list issued after the signature, in force, shows no revocation. */
  readonly isProvenByFreshLists: boolean;
}

const DOCUMENT_PURPOSES: readonly string[] = [OID.documentSigning, OID.emailProtection, OID.anyExtendedKeyUsage];

/** Claim `key`. */
export async function judgeSigner(evidence: SignerEvidence, cache: VerificationCache): Promise<JudgedSigner> {
  const { leaf, pool, roots, view, stamp } = evidence;
  const name = attempt(() => nameText(leaf.subject));
  const detail = name.ok ? name.value : undefined;
  const open = (claim: ClaimResult): JudgedSigner => ({ claim, isProvenByFreshLists: false });
  const unfit = findUnfitness(leaf, view);
  if (unfit !== undefined) return open(result('invalid', 'signing-certificate-bad', { detail: unfit }));
  if (view.source === 'own-keys') return open(result('unverified', 'signing-root-not-pinned', { detail }));
  const { genTimeMicros, latestMicros, claim } = stamp ?? {};
  if (genTimeMicros === undefined || latestMicros === undefined || claim === undefined || claim.verdict === 'invalid')
    return open(result('unverified', 'no-trusted-time', { detail }));
  const { at } = claim;
  const found = await buildPath(leaf, pool, roots, genTimeMicros, cache);
  if ('code' in found)
    return open(result('invalid', 'signing-certificate-bad', { detail: `${found.code}: ${found.detail}`, at }));
  const lists = evidence.crls.map((crl) => untilTime(crl, latestMicros));
  const look = (among: readonly Crl[]) => checkRevocation(found.path, among, genTimeMicros, genTimeMicros, cache);
  const revocation = await look(lists);
  if (revocation.verdict === 'revoked')
    return open(result('invalid', 'signing-certificate-revoked', { detail: revocation.detail, at }));
  const published = publishedKeyOf(leaf, view);
  const compromisedAt = published === undefined ? undefined : compromiseOf(published);
  if (compromisedAt !== undefined && compromisedAt <= latestMicros)
    return open(result('invalid', 'key-compromised', { detail, at }));
  if (revocation.verdict === 'unverified')
    return open(result('unverified', 'signer-revocation-unverified', { detail: revocation.detail, at }));
  const isFresh = (await look(lists.filter((crl) => isAfter(crl, genTimeMicros)))).verdict === 'good';
  const wasRevokedLater = evidence.crls.some((crl) => crl.revoked.has(leaf.serial) && sameName(crl, leaf));
  const reason = wasRevokedLater || compromisedAt !== undefined ? 'key-compromised-later' : 'signing-certificate-good';
  return { claim: result('valid', reason, { detail, at }), isProvenByFreshLists: isFresh };
}

/** Whether the list was made after that instant; lists carry whole seconds. */
export const isAfter = (crl: Crl, micros: bigint): boolean => crl.thisUpdate.epochMicros + 1_000_000n > micros;

/** The list as it speaks of signatures up to `latestMicros`: whatever the reason, a later revocation leaves them good. */
function untilTime(crl: Crl, latestMicros: bigint): Crl {
  const revoked = [...crl.revoked]
    .filter(([, { at }]) => at.epochMicros <= latestMicros)
    .map(([serial, { at }]) => [serial, { at, reason: undefined }] as const);
  return { ...crl, revoked: new Map(revoked) };
}

const sameName = (crl: Crl, leaf: Certificate): boolean =>
  crl.issuer.length === leaf.issuer.length && crl.issuer.every((byte, i) => byte === leaf.issuer[i]);

/** Certificates of other purposes hang below the same root. */
function findUnfitness(leaf: Certificate, view: TrustView): string | undefined {
  if (leaf.isCa) return 'the certificate is of an authority';
  const usage = leaf.keyUsage;
  if (usage === undefined || !(usage.has(KEY_USAGE.digitalSignature) || usage.has(KEY_USAGE.nonRepudiation)))
    return 'keyUsage without digitalSignature and nonRepudiation';
  const purposes = leaf.extKeyUsage?.oids;
  if (purposes !== undefined && !purposes.some((oid) => DOCUMENT_PURPOSES.includes(oid)))
    return `extKeyUsage ${purposes.join(', ')}`.slice(0, 200);
  const published = publishedKeyOf(leaf, view);
  return published !== undefined && String(published.purpose) !== 'pdf'
    ? `the key of ${published.kid}@${published.version} is for ${published.purpose}`
    : undefined;
}

/** The key of the trust file with the same point on P-256. */
function publishedKeyOf(leaf: Certificate, view: TrustView) {
  // SubjectPublicKeyInfo of P-256 is 26 bytes of header, 0x04, x, y.
  if (leaf.spki.length !== 91 || leaf.spki[26] !== 0x04) return undefined;
  const x = toBase64Url(leaf.spki.subarray(27, 59));
  const y = toBase64Url(leaf.spki.subarray(59));
  return [...view.keys.values()].find(({ jwk }) => jwk.x === x && jwk.y === y);
}
