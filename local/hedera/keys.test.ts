import { createPrivateKey, sign } from 'node:crypto';
import { PrivateKey } from '@hashgraph/sdk';
import type { proto } from '@hiero-ledger/proto';
import { describe, expect, it } from '@jest/globals';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { evmAddressOf, hasAmbiguousPrefixes, isSatisfied, isWellFormedKey } from './keys.ts';
import { privateKeyPem } from './random.ts';
import { publicKeyOf } from './sign-transaction.ts';

const body = Buffer.from('the bytes of a transaction body');

interface Signer {
  readonly key: proto.IKey;
  readonly pair: (prefixBytes?: number) => proto.ISignaturePair;
}

function ed25519(name: string): Signer {
  const pem = privateKeyPem('keys', name);
  const publicKey = publicKeyOf(pem);
  const signature = sign(null, body, createPrivateKey(pem));
  return {
    key: { ed25519: publicKey },
    pair: (prefixBytes) => ({ pubKeyPrefix: publicKey.subarray(0, prefixBytes), ed25519: signature }),
  };
}

/** By the SDK: what it signs, the network takes. */
function ecdsa(): Signer {
  const secret = PrivateKey.generateECDSA();
  const publicKey = secret.publicKey.toBytesRaw();
  const signature = secret.sign(body);
  return {
    key: { ECDSASecp256k1: publicKey },
    pair: (prefixBytes) => ({ pubKeyPrefix: publicKey.subarray(0, prefixBytes), ECDSASecp256k1: signature }),
  };
}

const list = (...keys: proto.IKey[]): proto.IKey => ({ keyList: { keys } });
const atLeast = (threshold: number, ...keys: proto.IKey[]): proto.IKey => ({
  thresholdKey: { threshold, keys: { keys } },
});
const [a, b, c] = [ed25519('a'), ed25519('b'), ecdsa()];

describe('a signature', () => {
  it.each([
    ['Ed25519', a],
    ['ECDSA over Keccak-256', c],
  ])('by %s counts under the whole key, a short prefix and none, and not over other bytes', (_, { key, pair }) => {
    for (const prefix of [undefined, 3, 0]) expect(isSatisfied(key, [pair(prefix)], body)).toBe(true);
    expect(isSatisfied(key, [pair()], Buffer.from('other bytes'))).toBe(false);
  });

  it('counts for nothing under the prefix of another key, or as another kind', () => {
    expect(isSatisfied(a.key, [{ ...a.pair(), pubKeyPrefix: b.pair().pubKeyPrefix ?? null }], body)).toBe(false);
    const { ed25519: signature, pubKeyPrefix } = a.pair();
    expect(isSatisfied(a.key, [{ pubKeyPrefix: pubKeyPrefix ?? null, ECDSASecp256k1: signature ?? null }], body)).toBe(
      false,
    );
  });

  it('by ECDSA counts with a high s too, and is nothing with numbers out of range', () => {
    const { ECDSASecp256k1: signature, pubKeyPrefix = null } = c.pair();
    const { r, s } = secp256k1.Signature.fromBytes(Uint8Array.from(signature ?? []));
    const high = new secp256k1.Signature(r, secp256k1.Point.Fn.ORDER - s).toBytes();
    expect(isSatisfied(c.key, [{ pubKeyPrefix, ECDSASecp256k1: high }], body)).toBe(true);
    const nothing = [new Uint8Array(64), new Uint8Array(64).fill(255), new Uint8Array(63)];
    for (const bytes of nothing)
      expect(isSatisfied(c.key, [{ pubKeyPrefix, ECDSASecp256k1: bytes }], body)).toBe(false);
  });

  it('is ambiguous when its prefix begins another', () => {
    expect(hasAmbiguousPrefixes([a.pair(), b.pair(4), c.pair()])).toBe(false);
    expect(hasAmbiguousPrefixes([a.pair(), a.pair(4)])).toBe(true);
    expect(hasAmbiguousPrefixes([a.pair(), b.pair(0)])).toBe(true);
    expect(hasAmbiguousPrefixes([a.pair(), a.pair()])).toBe(true);
  });
});

describe('keys of keys', () => {
  const pairs = (...signers: Signer[]): proto.ISignaturePair[] => signers.map(({ pair }) => pair());

  it('want every key of a list, and as many of a threshold as it says', () => {
    expect(isSatisfied(list(a.key, c.key), pairs(a, c), body)).toBe(true);
    expect(isSatisfied(list(a.key, c.key), pairs(a), body)).toBe(false);
    expect(isSatisfied(atLeast(2, a.key, b.key, c.key), pairs(b, c), body)).toBe(true);
    expect(isSatisfied(atLeast(2, a.key, b.key, c.key), pairs(b), body)).toBe(false);
  });

  it('are judged to any depth', () => {
    const nested = list(a.key, atLeast(1, b.key, list(c.key, atLeast(2, a.key, b.key))));
    expect(isSatisfied(nested, pairs(a, b), body)).toBe(true);
    expect(isSatisfied(nested, pairs(a, c), body)).toBe(false);
    expect(isSatisfied(nested, pairs(c, b), body)).toBe(false);
  });

  it('are satisfied by nobody when empty', () => {
    for (const key of [list(), atLeast(0), {}]) expect(isSatisfied(key, pairs(a, b, c), body)).toBe(false);
  });

  it.each<[string, boolean, proto.IKey]>([
    ['an Ed25519 key', true, a.key],
    ['an ECDSA key', true, c.key],
    ['a threshold of both', true, atLeast(1, a.key, c.key)],
    ['an empty list', false, list()],
    ['a threshold of none', false, atLeast(0, a.key)],
    ['a threshold that cannot be reached', false, atLeast(3, a.key, c.key)],
    ['too few bytes', false, { ed25519: new Uint8Array(31) }],
    ['no point of the curve', false, { ECDSASecp256k1: new Uint8Array(33).fill(255).fill(2, 0, 1) }],
    ['a list sixteen deep', false, Array.from({ length: 16 }).reduce<proto.IKey>((inner) => list(inner), a.key)],
  ])('with %s are well-formed: %s', (_, isWellFormed, key) => {
    expect(isWellFormedKey(key)).toBe(isWellFormed);
  });
});

it('derives the address that an ECDSA key has in the EVM as the SDK does', () => {
  const { publicKey } = PrivateKey.generateECDSA();
  expect(Buffer.from(evmAddressOf(publicKey.toBytesRaw())).toString('hex')).toBe(publicKey.toEvmAddress());
});
