import type { AnchorEntry, Bundle } from '../domain/bundle.ts';
import { toBase64Url, toHex, utf8 } from '../domain/bytes.ts';
import { anchorEntryDigest, nameAnchor } from '../domain/certificate.ts';
import { type ParsedCertificate, parseCertificate } from '../domain/certificate-parse.ts';
import { ProoflineError } from '../domain/errors.ts';
import { keyReference } from '../domain/seal.ts';
import { parseInstant } from '../domain/time.ts';
import type { VerifierCache } from './cache.ts';
import type { OpenCheckpoint } from './checkpoint.ts';
import { isInWindow } from './key.ts';
import { verifyEs256 } from './signature.ts';
import type { SeenToken } from './timestamp.ts';
import { compromiseOf, findKey, type TrustView } from './trust-view.ts';
import { type ClaimResult, missing, result } from './verdict.ts';

/** What the certificate is held against. */
export interface CertifiedEvidence {
  readonly bundle: Bundle;
  readonly leaf: Uint8Array;
  readonly checkpoint: OpenCheckpoint | undefined;
  readonly tokens: readonly SeenToken[];
}

export type OpenCertificate =
  | { readonly isPresent: false }
  | { readonly isPresent: true; readonly parsed?: ParsedCertificate; readonly fault?: string };

/** Reads the bundle's certificate without believing it. */
export function openCertificate({ certificate }: Bundle): OpenCertificate {
  if (certificate === undefined) return { isPresent: false };
  try {
    return { isPresent: true, parsed: parseCertificate(certificate) };
  } catch (error) {
    return { isPresent: true, fault: error instanceof ProoflineError ? error.message : 'unreadable' };
  }
}

/** Claim `certificate`: signed by the instance's certificate key, and everything it names is what the bundle holds. */
export async function checkCertificate(
  opened: OpenCertificate,
  evidence: CertifiedEvidence,
  view: TrustView,
  cache: VerifierCache,
): Promise<ClaimResult> {
  if (!opened.isPresent) return missing(evidence.bundle.pending.includes('certificate'));
  const { parsed, fault } = opened;
  if (parsed === undefined) return result('invalid', 'certificate-malformed', { detail: fault });
  const { payload, kid, version } = parsed;
  const at = payload.issuedAt;
  const found = findKey(view, evidence.bundle, 'certificate', kid, version);
  const detail = keyReference(kid, version);
  if (found.fault !== undefined) return result('unverified', found.fault, { detail, at });
  if (found.differs) return result('invalid', 'key-differs-from-trust-file', { detail, at });
  if (!(await verifyEs256(found.key, parsed.signature, utf8.encode(parsed.signingInput), cache)))
    return result('invalid', 'certificate-bad-signature', { detail, at });
  const other = findDifference(parsed, evidence);
  if (other !== undefined) return result('invalid', 'certificate-names-other', { detail: other, at });
  const issued = parseInstant(at) ?? 0n;
  const compromisedAt = compromiseOf(found.key);
  // No token covers a certificate, so nothing shows that it is older than the compromise that it claims to precede.
  if (compromisedAt !== undefined)
    return result(issued < compromisedAt ? 'unverified' : 'invalid', 'key-compromised', { detail, at });
  if (!isInWindow(found.key, issued, issued)) return result('invalid', 'key-outside-window', { detail, at });
  if (found.key.state === 'suspended') return result('unverified', 'key-suspended', { detail, at });
  if (!found.isPinned)
    return result('unverified', view.source === 'pinned' ? 'key-not-in-trust-file' : 'own-keys', { detail, at });
  return result('valid', 'certificate-good', { detail: `number ${payload.number}`, at });
}

/** The first thing that the certificate names otherwise than the bundle holds it. */
function findDifference({ payload }: ParsedCertificate, evidence: CertifiedEvidence): string | undefined {
  const { bundle, leaf, checkpoint } = evidence;
  const { statement, inclusion } = bundle;
  const root = checkpoint === undefined ? undefined : toBase64Url(checkpoint.checkpoint.root);
  const pairs: readonly (readonly [string, string, string | undefined])[] = [
    ['tenant', payload.tenant, statement.tenant],
    ['proof', payload.proof, statement.proof],
    ['digest algorithm', payload.digest.alg, statement.digest.alg],
    ['digest', payload.digest.value, statement.digest.value],
    ['leaf', payload.leaf, toHex(leaf)],
    ['log origin', payload.log.origin, inclusion?.origin],
    ['index', payload.log.index, inclusion?.index],
    ['size', payload.log.size, inclusion?.size],
    ['checkpoint size', payload.log.size, checkpoint?.checkpoint.size.toString()],
    ['root', payload.log.root, root],
  ];
  const pair = pairs.find(([, named, held]) => named !== held);
  if (pair !== undefined) return `${pair[0]} ${pair[1]}, the bundle has ${pair[2] ?? 'none'}`;
  return (
    findTokenDifference(payload.timestamp, evidence.tokens) ?? findAnchorDifference(payload.anchor, bundle.anchors)
  );
}

function findTokenDifference(
  named: ParsedCertificate['payload']['timestamp'],
  tokens: readonly SeenToken[],
): string | undefined {
  const token = tokens.find((one) => one.sha256 === named.tokenSha256);
  if (token === undefined) return `token ${named.tokenSha256}, the bundle does not have it`;
  if (token.tsa !== named.tsa) return `authority ${named.tsa}, the bundle has ${token.tsa}`;
  if (token.genTimeMicros === undefined || token.genTimeMicros !== parseInstant(named.time))
    return `time ${named.time}, the token has ${token.claim.at ?? 'none'}`;
  return undefined;
}

function findAnchorDifference(
  named: ParsedCertificate['payload']['anchor'],
  anchors: readonly AnchorEntry[],
): string | undefined {
  if ('none' in named) return undefined;
  const entry = anchors.find((one) => anchorEntryDigest(one) === named.entrySha256);
  if (entry === undefined) return `anchor ${named.entrySha256}, the bundle does not have it`;
  const held: Readonly<Record<string, string>> = nameAnchor(entry);
  const differs = Object.entries(named).find(([member, value]) => value !== held[member]);
  return differs && `anchor ${differs[0]} ${differs[1]}, the entry has ${held[differs[0]] ?? 'none'}`;
}
