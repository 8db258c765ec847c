/** One thread, one session with the token: finds, makes and uses keys there. Speaks in messages, see `TokenRequest`. */
import { createHash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { type Attribute, CK, loadBinding, type Mechanism, onceInProcess, type Pkcs11 } from './binding.ts';
import type { TokenConfig, TokenRequest, TokenResult } from './open-token.ts';
import { publicJwkOf, type TokenAlg } from './public-jwk.ts';

const A = CK.attribute;
const RSA_BITS = 2_048;
/** OBJECT IDENTIFIER prime256v1, and the curve's name as PrintableString (PKCS #11 v3.0 §2.3.10). */
const P256 = Buffer.from('06082a8648ce3d030107', 'hex');
const EDWARDS25519 = Buffer.from('130c656477617264733235353139', 'hex');

const { binding, library, tokenLabel, pin } = workerData as TokenConfig;
const { token, session } = open();
/** Private keys by id, as long as the session lasts. */
const found = new Map<string, Buffer>();
// The next thread begins when this one is logged in: both are done once a process.
parentPort?.postMessage({ id: 0, result: [] });

parentPort?.on('message', ({ id, request }: { readonly id: number; readonly request: TokenRequest }) => {
  try {
    parentPort?.postMessage({ id, result: answer(request) });
  } catch (cause) {
    found.clear();
    parentPort?.postMessage({ id, fault: cause instanceof Error ? cause.message : 'unknown' });
  }
});

function open(): { readonly token: Pkcs11; readonly session: Buffer } {
  const loaded = loadBinding(binding);
  loaded.load(library);
  onceInProcess(() => loaded.C_Initialize({ flags: CK.osLockingOk }));
  const slot = loaded.C_GetSlotList(true).find((one) => loaded.C_GetTokenInfo(one).label.trim() === tokenLabel);
  if (slot === undefined) throw new Error(`no token ${tokenLabel}`);
  const opened = loaded.C_OpenSession(slot, CK.serialSession | CK.rwSession);
  onceInProcess(() => loaded.C_Login(opened, CK.user, pin));
  return { token: loaded, session: opened };
}

function answer(request: TokenRequest): TokenResult {
  switch (request.verb) {
    case 'generate':
      return generate(request.alg, request.keyId, request.label);
    case 'describe':
      return describe(request.alg, request.keyId);
    case 'sign':
      return request.values.map((value) => sign(request.alg, request.keyId, value, request.isDigest));
  }
}

function generate(alg: TokenAlg, keyId: string, label: string): TokenResult {
  const id = Buffer.from(keyId, 'hex');
  const common: Attribute[] = [
    { type: A.token, value: true },
    { type: A.id, value: id },
    { type: A.label, value: label },
  ];
  token.C_GenerateKeyPair(
    session,
    generatorOf(alg),
    [...common, { type: A.verify, value: true }, ...parametersOf(alg)],
    [
      ...common,
      { type: A.private, value: true },
      { type: A.sensitive, value: true },
      { type: A.extractable, value: false },
      { type: A.sign, value: true },
    ],
  );
  return describe(alg, keyId);
}

function generatorOf(alg: TokenAlg): Mechanism {
  if (alg === 'ES256') return { mechanism: CK.ecKeyPairGen };
  return { mechanism: alg === 'EdDSA' ? CK.edwardsKeyPairGen : CK.rsaKeyPairGen };
}

function parametersOf(alg: TokenAlg): Attribute[] {
  if (alg === 'ES256') return [{ type: A.ecParams, value: P256 }];
  if (alg === 'EdDSA') return [{ type: A.ecParams, value: EDWARDS25519 }];
  return [
    { type: A.modulusBits, value: RSA_BITS },
    { type: A.publicExponent, value: Buffer.of(1, 0, 1) },
  ];
}

function describe(alg: TokenAlg, keyId: string): TokenResult {
  const object = find(CK.publicKey, keyId);
  const types = alg === 'ES256' || alg === 'EdDSA' ? [A.ecPoint] : [A.modulus, A.publicExponent];
  const [label, ...parts] = [A.label, ...types].map(
    (type) => token.C_GetAttributeValue(session, object, [{ type }])[0]?.value ?? Buffer.alloc(0),
  );
  return { label: label?.toString() ?? '', jwk: publicJwkOf(alg, parts) };
}

function sign(alg: TokenAlg, keyId: string, value: Uint8Array, isDigest: boolean): Uint8Array {
  let key = found.get(keyId);
  if (key === undefined) {
    key = find(CK.privateKey, keyId);
    found.set(keyId, key);
  }
  const data = alg === 'ES256' && !isDigest ? createHash('sha256').update(value).digest() : value;
  token.C_SignInit(session, signerOf(alg), key);
  return Uint8Array.from(token.C_Sign(session, Buffer.from(data), Buffer.alloc(512)));
}

function signerOf(alg: TokenAlg): Mechanism {
  switch (alg) {
    case 'ES256':
      return { mechanism: CK.ecdsa };
    case 'EdDSA':
      return { mechanism: CK.eddsa };
    case 'RS256':
      return { mechanism: CK.sha256RsaPkcs };
    case 'PS256':
      return {
        mechanism: CK.sha256RsaPkcsPss,
        parameter: { type: CK.paramsRsaPss, hashAlg: CK.sha256, mgf: CK.mgf1Sha256, saltLen: 32 },
      };
  }
}

function find(kind: number, keyId: string): Buffer {
  token.C_FindObjectsInit(session, [
    { type: A.class, value: kind },
    { type: A.id, value: Buffer.from(keyId, 'hex') },
  ]);
  const objects = token.C_FindObjects(session, 2);
  token.C_FindObjectsFinal(session);
  const [object] = objects;
  if (object === undefined || objects.length > 1) throw new Error(`${objects.length} objects of id ${keyId}`);
  return object;
}
