import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { SignBodies } from '../../activities/ledger/transaction-signer.ts';

export interface LedgerKey {
  readonly privateKey: KeyObject;
  /** 32 bytes, Ed25519. */
  readonly publicKey: Uint8Array;
}

export function newLedgerKey(): LedgerKey {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return { privateKey, publicKey: Uint8Array.from(publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)) };
}

/** Signs with keys held here, as the remote signer would. */
export function signWithKeys(keys: Readonly<Record<string, LedgerKey>>): SignBodies {
  return async (kid, bodies) => {
    const key = keys[kid];
    if (key === undefined) throw new Error(`no key ${kid}`);
    return {
      keyRef: `signer://${kid}@1`,
      publicKey: key.publicKey,
      signatures: bodies.map((body) => sign(null, body, key.privateKey)),
    };
  };
}
