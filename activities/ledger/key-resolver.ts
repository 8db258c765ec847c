/**
 * Who signs transactions. A key is named `signer://kid` (the version that signs now) or `signer://kid@version` (that
 * one and no other, as during a rotation); the private half never leaves the signer.
 */
import { ProoflineError } from '../../domain/errors.ts';
import type { Signer } from '../sealing/signer-client.ts';

export interface KeyName {
  readonly kid: string;
  readonly version?: number;
}

/** A key as it is at one moment: `keyRef` always names the version. */
export interface ResolvedKey {
  readonly keyRef: string;
  /** 32 bytes, Ed25519. */
  readonly publicKey: Uint8Array;
  /** 64 bytes each, in order; all or none, by exactly this version. Throws SIGNER_*. */
  sign(bodies: readonly Uint8Array[]): Promise<readonly Uint8Array[]>;
}

export interface KeyResolver {
  /** Throws CONFIG_INVALID for what is no name of a key, SIGNER_* where the signer has or shows no such key. */
  resolve(keyRef: string): Promise<ResolvedKey>;
}

const KEY_REF = /^signer:\/\/([A-Za-z0-9._-]{1,100})(?:@([1-9][0-9]{0,8}))?$/;

/** Undefined unless `text` is `signer://kid` or `signer://kid@version`. */
export function parseKeyRef(text: string): KeyName | undefined {
  const match = KEY_REF.exec(text);
  if (match === null) return undefined;
  const [, kid = '', version] = match;
  return version === undefined ? { kid } : { kid, version: Number(version) };
}

/** Keys at the remote signer. A version is fixed when the key is resolved, so that all bodies bear the same. */
export function resolveAtSigner(signer: Pick<Signer, 'key' | 'signTransaction'>): KeyResolver {
  return {
    async resolve(keyRef) {
      const name = parseKeyRef(keyRef);
      if (name === undefined)
        throw new ProoflineError(
          'CONFIG_INVALID',
          `${keyRef.slice(0, 120)} is not signer://kid or signer://kid@version`,
        );
      const { kid } = name;
      const { primaryVersion, versions } = await signer.key(kid);
      const version = name.version ?? primaryVersion;
      const jwk = versions.find((one) => one.version === version)?.jwk;
      if (version === undefined || jwk === undefined)
        throw new ProoflineError('SIGNER_KEY_NOT_ACTIVE', `${kid} has no version ${version ?? 'that signs now'}`);
      const publicKey = Buffer.from(jwk.x ?? '', 'base64url');
      if (jwk.crv !== 'Ed25519' || publicKey.length !== 32)
        throw new ProoflineError('SIGNER_BAD_ANSWER', `${kid} version ${version} is not an Ed25519 key`);
      return {
        keyRef: `signer://${kid}@${version}`,
        publicKey,
        sign: async (bodies) => (await signer.signTransaction({ kid, version, bodies })).signatures,
      };
    },
  };
}
