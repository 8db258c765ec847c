/**
 * Signatures over DER by WebCrypto: ECDSA on P-256 and P-384, RSA PKCS#1 v1.5 and PSS with SHA-2. Every other algorithm,
 * RSA below 2048 or above 8192 bits, and exponents beyond 32 bits (which would cost time, not add safety) are refused.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { toHex } from '../bytes.ts';
import type { VerificationCache } from './cache.ts';
import {
  constructed,
  DerReader,
  derNull,
  derOid,
  derSequence,
  openWhole,
  readBitBytes,
  readOid,
  readSmall,
  readUnsigned,
  TAG,
} from './der.ts';
import { type Algorithm, type HashName, readAlgorithm } from './hashes.ts';
import { OID } from './oids.ts';

export type SignatureScheme =
  | { readonly kind: 'ecdsa' | 'rsa-pkcs1'; readonly hash: HashName }
  | { readonly kind: 'rsa-pss'; readonly hash: HashName; readonly saltLength: number };

const SCHEMES: Readonly<Record<string, SignatureScheme>> = {
  [OID.ecdsaSha256]: { kind: 'ecdsa', hash: 'SHA-256' },
  [OID.ecdsaSha384]: { kind: 'ecdsa', hash: 'SHA-384' },
  [OID.ecdsaSha512]: { kind: 'ecdsa', hash: 'SHA-512' },
  [OID.sha256WithRsa]: { kind: 'rsa-pkcs1', hash: 'SHA-256' },
  [OID.sha384WithRsa]: { kind: 'rsa-pkcs1', hash: 'SHA-384' },
  [OID.sha512WithRsa]: { kind: 'rsa-pkcs1', hash: 'SHA-512' },
};

/**
 * The scheme an AlgorithmIdentifier names, undefined if it is none of ours. `digest` is the SignerInfo's
 * digestAlgorithm: CMS writes plain rsaEncryption beside it (RFC 3370 §3.2), and the two must agree.
 */
export function readSignatureScheme(algorithm: Algorithm, digest?: HashName): SignatureScheme | undefined {
  if (algorithm.oid === OID.rsaPss) {
    const scheme = readPss(algorithm);
    return scheme === undefined || digest === undefined || scheme.hash === digest ? scheme : undefined;
  }
  if (algorithm.params !== undefined && !algorithm.isNull) return undefined;
  if (algorithm.oid === OID.rsaEncryption && digest !== undefined) return { kind: 'rsa-pkcs1', hash: digest };
  const scheme = Object.hasOwn(SCHEMES, algorithm.oid) ? SCHEMES[algorithm.oid] : undefined;
  return scheme === undefined || digest === undefined || scheme.hash === digest ? scheme : undefined;
}

/** RSASSA-PSS-params (RFC 4055 §3.1); the SHA-1 defaults are not ours, so hash and mask must be named, and be the same. */
function readPss(algorithm: Algorithm): SignatureScheme | undefined {
  if (algorithm.params?.tag !== TAG.sequence) return undefined;
  const reader = new DerReader(algorithm.params.content, 'RSASSA-PSS-params');
  const hash = reader.at(constructed(0))
    ? readAlgorithm(openField(reader, 0).next(TAG.sequence), 'PSS hash').hash
    : undefined;
  if (hash === undefined || !reader.at(constructed(1))) return undefined;
  const mask = readAlgorithm(openField(reader, 1).next(TAG.sequence), 'PSS mask');
  if (mask.oid !== OID.mgf1 || mask.params?.tag !== TAG.sequence || readAlgorithm(mask.params, 'MGF1').hash !== hash)
    return undefined;
  const saltLength = reader.at(constructed(2)) ? readSmall(openField(reader, 2).next(TAG.integer), 'saltLength') : 20;
  if (reader.at(constructed(3)) && readSmall(openField(reader, 3).next(TAG.integer), 'trailerField') !== 1)
    return undefined;
  reader.end();
  return saltLength > 512 ? undefined : { kind: 'rsa-pss', hash, saltLength };
}

const openField = (reader: DerReader, n: number): DerReader => reader.enter(constructed(n), `RSASSA-PSS-params[${n}]`);

/** Whether `signature` over `message` is by the key in `spki`. False for every key, scheme or encoding that does not fit. */
export async function isSignedBy(
  spki: Uint8Array,
  scheme: SignatureScheme,
  signature: Uint8Array,
  message: Uint8Array,
  cache: VerificationCache,
): Promise<boolean> {
  const curve = curveOf(spki);
  if ((scheme.kind === 'ecdsa') !== (curve !== undefined)) return false;
  const id = `${scheme.kind}:${scheme.hash}:${toHex(sha256(spki))}`;
  const key = await cache.keys.getOrMake(id, () => importKey(spki, scheme, curve));
  if (key === undefined) return false;
  const bytes = curve === undefined ? new Uint8Array(signature) : toP1363(signature, CURVES[curve].bytes);
  if (bytes === undefined) return false;
  const algorithm =
    scheme.kind === 'ecdsa'
      ? { name: 'ECDSA', hash: scheme.hash }
      : scheme.kind === 'rsa-pss'
        ? { name: 'RSA-PSS', saltLength: scheme.saltLength }
        : { name: 'RSASSA-PKCS1-v1_5' };
  try {
    return await crypto.subtle.verify(algorithm, key, bytes, new Uint8Array(message));
  } catch {
    return false;
  }
}

type Curve = 'P-256' | 'P-384';
const CURVES: Record<Curve, { readonly oid: string; readonly bytes: number }> = {
  'P-256': { oid: OID.p256, bytes: 32 },
  'P-384': { oid: OID.p384, bytes: 48 },
};

function curveOf(spki: Uint8Array): Curve | undefined {
  const algorithm = readAlgorithm(openWhole(spki, TAG.sequence, 'SPKI').next(TAG.sequence), 'SPKI');
  if (algorithm.oid !== OID.ecPublicKey || algorithm.params?.tag !== TAG.oid) return undefined;
  const oid = readOid(algorithm.params, 'curve');
  return (Object.keys(CURVES) as Curve[]).find((curve) => CURVES[curve].oid === oid);
}

async function importKey(
  spki: Uint8Array,
  scheme: SignatureScheme,
  curve: Curve | undefined,
): Promise<CryptoKey | undefined> {
  try {
    if (curve !== undefined)
      return await crypto.subtle.importKey('spki', new Uint8Array(spki), { name: 'ECDSA', namedCurve: curve }, true, [
        'verify',
      ]);
    const rsa = plainRsaSpki(spki);
    const name = scheme.kind === 'rsa-pss' ? 'RSA-PSS' : 'RSASSA-PKCS1-v1_5';
    return (
      rsa && (await crypto.subtle.importKey('spki', new Uint8Array(rsa), { name, hash: scheme.hash }, true, ['verify']))
    );
  } catch {
    return undefined;
  }
}

/** The RSA key under the plain rsaEncryption identifier, the only one that WebCrypto imports; undefined if out of bounds. */
function plainRsaSpki(spki: Uint8Array): Uint8Array | undefined {
  const reader = openWhole(spki, TAG.sequence, 'SPKI');
  const algorithm = readAlgorithm(reader.next(TAG.sequence), 'SPKI');
  const bits = reader.next(TAG.bitString);
  reader.end();
  if (algorithm.oid !== OID.rsaEncryption && algorithm.oid !== OID.rsaPss) return undefined;
  const key = openWhole(readBitBytes(bits, 'RSA key'), TAG.sequence, 'RSAPublicKey');
  const modulusBytes = readUnsigned(key.next(TAG.integer), 'modulus', 1024).length / 2;
  readUnsigned(key.next(TAG.integer), 'publicExponent', 4);
  key.end();
  if (modulusBytes < 256) return undefined;
  return derSequence(derSequence(derOid(OID.rsaEncryption), derNull()), bits.raw);
}

/** ECDSA-Sig-Value (RFC 3279 §2.2.3) as r‖s, the form of WebCrypto and JOSE; undefined if it is not one. */
export function toP1363(signature: Uint8Array, bytes: number): Uint8Array<ArrayBuffer> | undefined {
  try {
    const reader = openWhole(signature, TAG.sequence, 'ECDSA-Sig-Value');
    const [r, s] = [reader.next(TAG.integer), reader.next(TAG.integer)].map((tlv) =>
      readUnsigned(tlv, 'ECDSA-Sig-Value', bytes),
    );
    reader.end();
    const hex = `${(r as string).padStart(2 * bytes, '0')}${(s as string).padStart(2 * bytes, '0')}`;
    return Uint8Array.from({ length: 2 * bytes }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
  } catch {
    return undefined;
  }
}
