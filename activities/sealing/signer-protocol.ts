/** The signer as the rest of the house sees it, and the reading of signer/1 answers (`local/signer/openapi.yaml`). */
import { X509Certificate } from 'node:crypto';
import { fromBase64Url } from '../../domain/bytes.ts';
import { ProoflineError } from '../../domain/errors.ts';

/** See `KEY_ALGS` of the contract; the last three do not sign. */
const ALGS = ['ES256', 'EdDSA', 'RS256', 'PS256', 'ES256K-KECCAK', 'HS256', 'RSA-OAEP-256', 'A256GCM'] as const;
export type KeyAlg = (typeof ALGS)[number];
export type SignerAlg = Exclude<KeyAlg, 'HS256' | 'RSA-OAEP-256' | 'A256GCM'>;
export type SignerKeyState = 'pre-active' | 'active' | 'verify-only' | 'suspended' | 'compromised' | 'destroyed';

export interface SignRequest {
  readonly kid: string;
  /** The newest active version unless told. */
  readonly version?: number;
  readonly alg: SignerAlg;
  /** `digest`: SHA-256 digests, where the key allows it. */
  readonly kind: 'tbs' | 'digest';
  /** The bytes to be signed, each ≤ 64 KiB; any number, sent in chunks. */
  readonly values: readonly Uint8Array[];
  /** For the signer's log and its idempotency: at most 16 strings of 256 characters. */
  readonly context: Readonly<Record<string, string>>;
}

export interface SignResult {
  readonly kid: string;
  readonly version: number;
  readonly alg: string;
  /** One per value, in order, verified: 64 bytes (ES256: r‖s), of RSA as long as the modulus. */
  readonly signatures: readonly Uint8Array[];
}

/** EC and OKP keys have crv, x (and y), RSA keys n and e. */
export interface SignerJwk {
  readonly kty: string;
  readonly crv?: string;
  readonly x?: string;
  readonly y?: string;
  readonly n?: string;
  readonly e?: string;
}

export interface SignerKeyVersion {
  readonly version: number;
  readonly state: SignerKeyState;
  readonly alg: KeyAlg;
  /** Absent of a symmetric key. */
  readonly jwk?: SignerJwk;
  /** PEM, leaf first; empty where no certificate names the key. */
  readonly chain: readonly string[];
  /** RFC 3339; the key signs from here … */
  readonly validFrom: string;
  /** … until before here. */
  readonly validTo?: string;
  readonly compromisedAt?: string;
}

export interface SignerKey {
  readonly kid: string;
  readonly purpose: string;
  /** Absent while no version signs. */
  readonly primaryVersion?: number;
  readonly versions: readonly SignerKeyVersion[];
}

export interface SignerInfo {
  readonly protocol: string;
  /** True for software keys of a development signer. */
  readonly dev: boolean;
}

const STATES: readonly SignerKeyState[] = [
  'pre-active',
  'active',
  'verify-only',
  'suspended',
  'compromised',
  'destroyed',
];

export function badAnswer(detail: string, cause?: unknown): ProoflineError {
  return new ProoflineError('SIGNER_BAD_ANSWER', detail, cause === undefined ? {} : { cause });
}

export function readInfo(body: unknown): SignerInfo {
  const { protocol, dev } = object(body);
  if (protocol !== 'signer/1') throw badAnswer(`protocol ${JSON.stringify(protocol)}, expected "signer/1"`);
  return { protocol, dev: dev === true };
}

export function readKeys(body: unknown): SignerKey[] {
  const { keys } = object(body);
  if (!Array.isArray(keys) || keys.length > 1_000) throw badAnswer('keys is not a list of at most 1,000');
  return keys.map(readKey);
}

export function readKey(body: unknown): SignerKey {
  const { kid, purpose, primaryVersion, versions } = object(body);
  if (!Array.isArray(versions)) throw badAnswer('versions is not a list');
  return {
    kid: text(kid, 'kid'),
    purpose: text(purpose, 'purpose'),
    ...(primaryVersion === undefined ? {} : { primaryVersion: positive(primaryVersion, 'primaryVersion') }),
    versions: versions.map(readVersion),
  };
}

/** Kid, version, algorithm and signatures of an answer; the lengths are checked, the signatures are not. */
export function readSignatures(
  body: unknown,
  expected: {
    readonly kid: string;
    readonly version?: number;
    readonly alg: SignerAlg;
    readonly count: number;
    /** Of each signature; that of the algorithm unless told. */
    readonly length?: number;
  },
): { readonly version: number; readonly signatures: readonly Uint8Array[] } {
  const answer = object(body);
  const version = positive(answer.version, 'version');
  if (answer.kid !== expected.kid || answer.alg !== expected.alg || (expected.version ?? version) !== version) {
    throw badAnswer(
      `signed by ${answer.kid} version ${version} (${answer.alg}), expected ${expected.kid} version ${expected.version ?? 'any'} (${expected.alg})`,
    );
  }
  if (!Array.isArray(answer.signatures) || answer.signatures.length !== expected.count)
    throw badAnswer(`expected ${expected.count} signatures`);
  const signatures = answer.signatures.map((item: unknown) => {
    const bytes = fromBase64Url(text(item, 'signature'));
    const isRight =
      expected.length === undefined ? isLengthOf(expected.alg, bytes?.length ?? 0) : bytes?.length === expected.length;
    if (bytes === undefined || !isRight) throw badAnswer(`a signature is no ${expected.alg} in base64url`);
    return bytes;
  });
  return { version, signatures };
}

/** The version that did it, which must be the one asked for, of the key asked for. */
export function readVersionOf(body: unknown, kid: string, asked: number | undefined): number {
  const answer = object(body);
  const version = positive(answer.version, 'version');
  if (answer.kid !== kid || (asked ?? version) !== version)
    throw badAnswer(`done by ${answer.kid} version ${version}, expected ${kid} version ${asked ?? 'any'}`);
  return version;
}

/** Byte values of an answer, as many as were sent. */
export function readValues(body: unknown, name: string, count: number): Uint8Array[] {
  const list = object(body)[name];
  if (!Array.isArray(list) || list.length !== count) throw badAnswer(`expected ${count} ${name}`);
  return list.map((item) => bytesOf(item, name));
}

/** One byte value of an answer. */
export const readValue = (body: unknown, name: string): Uint8Array => bytesOf(object(body)[name], name);

/** Verdicts of an answer, as many as values were sent. */
export function readVerdicts(body: unknown, count: number): boolean[] {
  const { valid } = object(body);
  if (!Array.isArray(valid) || valid.length !== count || !valid.every((v) => typeof v === 'boolean'))
    throw badAnswer(`expected ${count} verdicts`);
  return valid;
}

const MAX_VALUE_CHARACTERS = 100_000;

function bytesOf(value: unknown, name: string): Uint8Array {
  const bytes = fromBase64Url(text(value, name, MAX_VALUE_CHARACTERS));
  if (bytes === undefined) throw badAnswer(`${name} is not base64url`);
  return bytes;
}

export function readTreeHead(body: unknown): { readonly size: bigint; readonly root: Uint8Array } {
  const { size, root } = object(body);
  const bytes = fromBase64Url(text(root, 'root'));
  if (typeof size !== 'string' || !/^(?:0|[1-9][0-9]{0,18})$/.test(size) || bytes?.length !== 32)
    throw badAnswer('the tree head is malformed');
  return { size: BigInt(size), root: bytes };
}

function readVersion(body: unknown): SignerKeyVersion {
  const v = object(body);
  const state = STATES.find((s) => s === v.state);
  if (state === undefined) throw badAnswer(`state ${JSON.stringify(v.state)}`);
  const alg = ALGS.find((a) => a === v.alg);
  if (alg === undefined) throw badAnswer(`alg ${JSON.stringify(v.alg)}`);
  if (!Array.isArray(v.chain)) throw badAnswer('chain is not a list');
  const version: SignerKeyVersion = {
    version: positive(v.version, 'version'),
    state,
    alg,
    ...(v.jwk === undefined && (alg === 'HS256' || alg === 'A256GCM') ? {} : { jwk: readJwk(v.jwk) }),
    chain: v.chain.map((pem: unknown) => text(pem, 'certificate', 16_384)),
    validFrom: instant(v.activateAt, 'activateAt'),
    ...(v.notSignAfter === undefined ? {} : { validTo: instant(v.notSignAfter, 'notSignAfter') }),
    ...(v.compromisedAt === undefined ? {} : { compromisedAt: instant(v.compromisedAt, 'compromisedAt') }),
  };
  requireSameKey(version);
  return version;
}

function readJwk(value: unknown): SignerJwk {
  const jwk = object(value);
  const [kty, ...members] = ['kty', 'crv', 'x', 'y', 'n', 'e'].map((name) =>
    jwk[name] === undefined ? [] : [[name, text(jwk[name], name)]],
  );
  if (kty === undefined || kty.length === 0 || jwk.d !== undefined || jwk.k !== undefined)
    throw badAnswer('a public key is not one');
  return Object.fromEntries([...kty, ...members.flat()]) as SignerJwk;
}

/** A certificate over another key than the one it comes with would be published with it. */
function requireSameKey({ chain: [leaf], jwk, version }: SignerKeyVersion): void {
  if (leaf === undefined || jwk === undefined) return;
  let named: Record<string, unknown>;
  try {
    named = new X509Certificate(leaf).publicKey.export({ format: 'jwk' }) as Record<string, unknown>;
  } catch (cause) {
    throw badAnswer(`the certificate of version ${version} does not parse`, cause);
  }
  if (!isSameJwk(named as unknown as SignerJwk, jwk))
    throw badAnswer(`the certificate of version ${version} names another key`);
}

export const isSameJwk = (a: SignerJwk, b: SignerJwk): boolean =>
  a.kty === b.kty && a.crv === b.crv && a.x === b.x && a.y === b.y && a.n === b.n && a.e === b.e;

/** RSA keys have 2,048 to 4,096 bits. */
function isLengthOf(alg: SignerAlg, length: number): boolean {
  return alg === 'RS256' || alg === 'PS256' ? length >= 256 && length <= 512 : length === 64;
}

function object(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw badAnswer('an object is missing');
  return value as Record<string, unknown>;
}

function text(value: unknown, name: string, max = 1_024): string {
  if (typeof value !== 'string' || value.length > max)
    throw badAnswer(`${name} is not a string of at most ${max} characters`);
  return value;
}

function positive(value: unknown, name: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 1) throw badAnswer(`${name} is not a positive integer`);
  return value as number;
}

function instant(value: unknown, name: string): string {
  const found = text(value, name, 40);
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z$/.test(found) || Number.isNaN(Date.parse(found)))
    throw badAnswer(`${name} is not an instant`);
  return found;
}
