import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { type KeyResolver, parseKeyRef } from '../../activities/ledger/key-resolver.ts';

export interface LedgerKey {
  readonly privateKey: KeyObject;
  /** 32 bytes, Ed25519. */
  readonly publicKey: Uint8Array;
}

export function newLedgerKey(): LedgerKey {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return { privateKey, publicKey: Uint8Array.from(publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)) };
}

/** Resolves `signer://name` and `signer://name@1` to keys held here, as the remote signer would. */
export function resolveFrom(keys: Readonly<Record<string, LedgerKey>>): KeyResolver {
  return {
    async resolve(keyRef) {
      const { kid = '', version = 1 } = parseKeyRef(keyRef) ?? {};
      const key = keys[kid];
      if (key === undefined) throw new Error(`no key ${keyRef}`);
      return {
        keyRef: `signer://${kid}@${version}`,
        publicKey: key.publicKey,
        sign: async (bodies) => bodies.map((body) => sign(null, body, key.privateKey)),
      };
    },
  };
}
