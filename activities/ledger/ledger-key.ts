/** Keys of accounts and topics as mirrors show them: single, lists, thresholds, one within the other. */
import { proto } from '@hiero-ledger/proto';
import { toHex } from '../../domain/bytes.ts';
import type { MirrorKey } from './mirror-client.ts';

/** The key's structure; undefined for what is no key. */
export function readLedgerKey({ type, key }: MirrorKey): proto.IKey | undefined {
  const bytes = Buffer.from(key, 'hex');
  try {
    switch (type) {
      case 'ED25519':
        return { ed25519: bytes };
      case 'ECDSA_SECP256K1':
        return { ECDSASecp256k1: bytes };
      case 'ProtobufEncoded':
        return proto.Key.decode(bytes);
      default:
        return undefined;
    }
  } catch {
    return undefined;
  }
}

/** Whether signatures of these Ed25519 keys (32 bytes each) together satisfy a key. */
export function isSatisfiedBy(key: proto.IKey, publicKeys: readonly Uint8Array[]): boolean {
  const { ed25519, keyList, thresholdKey } = key;
  if (ed25519 != null && ed25519.length > 0) return publicKeys.some((one) => toHex(one) === toHex(ed25519));
  const list = thresholdKey?.keys?.keys ?? keyList?.keys ?? [];
  const needed = thresholdKey == null ? list.length : (thresholdKey.threshold ?? 0);
  if (list.length === 0 || needed <= 0) return false;
  return list.filter((one) => isSatisfiedBy(one, publicKeys)).length >= needed;
}
