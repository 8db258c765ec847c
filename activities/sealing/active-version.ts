import { ProoflineError } from '../../domain/errors.ts';
import type { Signer } from './signer-client.ts';

/** The version of a key that signs now. Throws SIGNER_KEY_NOT_ACTIVE when the signer holds none. */
export async function activeVersion(signer: Signer, kid: string): Promise<number> {
  const { primaryVersion } = await signer.key(kid);
  if (primaryVersion === undefined) throw new ProoflineError('SIGNER_KEY_NOT_ACTIVE', `no version of ${kid} signs now`);
  return primaryVersion;
}
