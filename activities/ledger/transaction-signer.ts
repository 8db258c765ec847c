/** Who signs transactions: the remote signer, named by key id. */
import { ProoflineError } from '../../domain/errors.ts';
import type { Signer } from '../sealing/signer-client.ts';

export interface SignedBodies {
  /** `signer://kid@version` */
  readonly keyRef: string;
  /** 32 bytes, Ed25519. */
  readonly publicKey: Uint8Array;
  /** 64 bytes each, in order. */
  readonly signatures: readonly Uint8Array[];
}

/** Signs the bodies of one transaction, one per node. Throws SIGNER_*. */
export type SignBodies = (kid: string, bodies: readonly Uint8Array[]) => Promise<SignedBodies>;

/** All bodies of a transaction in one request. Key: the signer's own, over key and bodies. */
export function signRemotely(signer: Pick<Signer, 'key' | 'signTransaction'>): SignBodies {
  return async (kid, bodies) => {
    const { version, signatures } = await signer.signTransaction({ kid, bodies });
    const { versions } = await signer.key(kid);
    const jwk = versions.find((one) => one.version === version)?.jwk;
    const publicKey = Buffer.from(jwk?.x ?? '', 'base64url');
    if (jwk?.crv !== 'Ed25519' || publicKey.length !== 32) {
      throw new ProoflineError('SIGNER_BAD_ANSWER', `${kid} version ${version} is not an Ed25519 key`);
    }
    return { keyRef: `signer://${kid}@${version}`, publicKey, signatures };
  };
}
