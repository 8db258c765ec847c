import type { Bundle } from '../domain/bundle.ts';
import { fromBase64Url } from '../domain/bytes.ts';
import { keyReference, sealHeader, sealSigningInput } from '../domain/seal.ts';
import type { VerifierCache } from './cache.ts';
import { verifyEs256 } from './signature.ts';
import type { FoundKey } from './trust-view.ts';
import { type ClaimResult, result } from './verdict.ts';

/**
 * Claim `seal`: a detached JWS (RFC 7515 appendix F, RFC 7797) over the statement's canonical bytes, by the key that
 * the statement pins. `statementBytes` are its JCS bytes. The header has one spelling; whether the key is to be believed is the claim `key`.
 */
export async function checkSeal(
  { seal, statement }: Bundle,
  statementBytes: Uint8Array,
  found: FoundKey,
  cache: VerifierCache,
): Promise<ClaimResult> {
  const { kid, version } = statement.key;
  const [header = '', , signatureText = ''] = seal.split('.');
  const signature = fromBase64Url(signatureText);
  if (header !== sealHeader(kid, version) || signature?.length !== 64) return result('invalid', 'seal-malformed');
  if (found.fault !== undefined) return result('unverified', found.fault, { detail: keyReference(kid, version) });
  const message = sealSigningInput(header, statementBytes);
  return (await verifyEs256(found.key, signature, message, cache))
    ? result('valid', 'seal-good', { detail: keyReference(kid, version) })
    : result('invalid', 'seal-bad', { detail: keyReference(kid, version) });
}
