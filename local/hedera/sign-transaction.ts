/** Between a transaction's body and the bytes that a node is sent, by whatever keys. */
import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { proto } from '@hiero-ledger/proto';

/** Signs the body's bytes; what comes back goes into the signature map. */
export type SignBody = (bodyBytes: Uint8Array) => proto.ISignaturePair;

/** `Transaction` bytes of a body, with one pair for each signer, in their order. */
export function signTransaction(body: proto.ITransactionBody, signers: readonly SignBody[]): Uint8Array {
  const bodyBytes = proto.TransactionBody.encode(body).finish();
  const sigPair = signers.map((signer) => signer(bodyBytes));
  const signedTransactionBytes = proto.SignedTransaction.encode({ bodyBytes, sigMap: { sigPair } }).finish();
  return proto.Transaction.encode({ signedTransactionBytes }).finish();
}

/** By an Ed25519 key (PKCS #8 PEM), named by the first `prefixBytes` of its public half; all 32 without. */
export function signByEd25519(privateKeyPem: string, prefixBytes?: number): SignBody {
  const key: KeyObject = createPrivateKey(privateKeyPem);
  const pubKeyPrefix = publicKeyOf(privateKeyPem).subarray(0, prefixBytes);
  return (bodyBytes) => ({ pubKeyPrefix, ed25519: sign(null, bodyBytes, key) });
}

/** The 32 bytes of the public half. */
export function publicKeyOf(privateKeyPem: string): Uint8Array {
  const spki = createPublicKey(privateKeyPem).export({ format: 'der', type: 'spki' });
  return Uint8Array.from(spki.subarray(-32));
}
