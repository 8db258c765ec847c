import { type KeyObject, verify } from 'node:crypto';
import { ProoflineError } from '../../domain/errors.ts';
import { DerFault } from '../../domain/timestamp/der.ts';
import { readTimestampRequest } from '../../domain/timestamp/request.ts';
import { readTimestampResponse, readTimestampToken } from '../../domain/timestamp/token.ts';
import { verifyTimestampToken } from '../../domain/timestamp/verify-token.ts';
import { badAnswer, type KeyAlg, type SignerAlg } from './signer-protocol.ts';
import { isSigned } from './verify-signature.ts';

/**
 * A token that the signer made is over the imprint asked for, whole, and by the key pinned: not merely by one that its
 * chain would vouch for. A refusal has no token and passes. Throws SIGNER_BAD_SIGNATURE or SIGNER_BAD_ANSWER.
 */
export async function verifyTokenResponse(
  query: Uint8Array,
  response: Uint8Array,
  by: { readonly chain: readonly string[]; readonly key: KeyObject; readonly alg: KeyAlg },
): Promise<void> {
  const { imprint, token, signed, signature } = read(query, response);
  if (token === undefined) return;
  const root = by.chain.at(-1);
  const verdict = await verifyTimestampToken(token, { imprint, roots: root === undefined ? [] : [root] });
  const faults = verdict.failures.map(({ point, code }) => `point ${point} ${code}`).join(', ');
  if (!verdict.ok) throw new ProoflineError('SIGNER_BAD_SIGNATURE', `the token fails ${faults}`);
  if (signed === undefined || signature === undefined) throw badAnswer('the token has no signed attributes');
  const isOurs =
    by.alg === 'ES256'
      ? // CMS holds the DER of an ECDSA signature.
        verify('sha256', signed, by.key, signature)
      : await isSigned(by.alg as SignerAlg, by.key, signed, signature);
  if (!isOurs) throw new ProoflineError('SIGNER_BAD_SIGNATURE', 'the token is by another key than the one pinned');
}

function read(
  query: Uint8Array,
  response: Uint8Array,
): {
  readonly imprint: Uint8Array;
  readonly token: Uint8Array | undefined;
  readonly signed?: Uint8Array | undefined;
  readonly signature?: Uint8Array | undefined;
} {
  try {
    const { imprint } = readTimestampRequest(query);
    const { token } = readTimestampResponse(response);
    if (token === undefined) return { imprint, token };
    const [signer] = readTimestampToken(token).signers;
    return { imprint, token, signed: signer?.signedBytes, signature: signer?.signature };
  } catch (cause) {
    if (cause instanceof DerFault) throw badAnswer('the response does not parse', cause);
    throw cause;
  }
}
