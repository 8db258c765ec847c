/** A reproducible stream of bytes out of a seed, for what a network would otherwise draw by chance. */
import { createHash, createPrivateKey, generateKeyPairSync } from 'node:crypto';

const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');

/** 32 bytes that follow from the seed and what they are for. */
export function seededBytes(seed: string, purpose: string): Uint8Array {
  return createHash('sha256').update(`hedera-sim|${seed}|${purpose}`).digest();
}

/** PKCS #8 PEM, Ed25519: always the same one for a seed, a fresh one without. Keys of a simulation only. */
export function privateKeyPem(seed: string | undefined, purpose: string): string {
  const key =
    seed === undefined
      ? generateKeyPairSync('ed25519').privateKey
      : createPrivateKey({
          key: Buffer.concat([PKCS8_ED25519, seededBytes(seed, purpose)]),
          format: 'der',
          type: 'pkcs8',
        });
  return key.export({ format: 'pem', type: 'pkcs8' }).toString();
}
