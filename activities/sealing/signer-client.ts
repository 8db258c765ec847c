/**
 * The client of the remote signer (signer/1). Nothing that the signer says is used before the signature verifies
 * under the public key pinned for (kid, version): an answer of a wrong, swapped or broken signer is an error here,
 * never a seal.
 */
import { createHash, type KeyObject } from 'node:crypto';
import { canonicalBytes } from '../../domain/canonical-json.ts';
import { ProoflineError } from '../../domain/errors.ts';
import {
  badAnswer,
  isSameJwk,
  type KeyAlg,
  readInfo,
  readKey,
  readKeys,
  readSignatures,
  readTreeHead,
  readValue,
  readValues,
  readVerdicts,
  readVersionOf,
  type SignerAlg,
  type SignerInfo,
  type SignerJwk,
  type SignerKey,
  type SignRequest,
  type SignResult,
} from './signer-protocol.ts';
import { createSignerTransport, type SignerTransportOptions } from './signer-transport.ts';
import { importPublicKey, isDigestSigned, isSigned } from './verify-signature.ts';
import { verifyTokenResponse } from './verify-token-response.ts';

export type { SignerInfo, SignerJwk, SignerKey, SignerKeyVersion, SignRequest, SignResult } from './signer-protocol.ts';

export interface Signer {
  info(): Promise<SignerInfo>;
  keys(): Promise<readonly SignerKey[]>;
  /** Throws SIGNER_REFUSED if the signer has no such key. */
  key(kid: string): Promise<SignerKey>;
  /**
   * Signs in order; all signatures are by one version and verified. Repeating the same request within the hour gives
   * the same bytes. Throws SIGNER_UNAVAILABLE, SIGNER_MTLS_REJECTED, SIGNER_REFUSED (`extra.index` where one value is
   * to blame), SIGNER_KEY_NOT_ACTIVE, SIGNER_BAD_SIGNATURE, SIGNER_BAD_ANSWER, SIGNER_IDEMPOTENCY_CONFLICT, and for
   * checkpoints LOG_ROLLBACK (`extra.lastSize`, `extra.lastRoot`).
   */
  sign(request: SignRequest, signal?: AbortSignal): Promise<SignResult>;
  /**
   * Signs transactions that the signer's policy allows, at most 100, all or none, by `version` if given: bodies of Hedera
   * (64 bytes each, EdDSA unless `alg` says ES256K-KECCAK), or unsigned EIP-1559 transactions of `kind` evm (65 bytes:
   * r‖s‖parity). Throws as `sign` does; `extra.index` names the one refused.
   */
  signTransaction(
    request: {
      readonly kid: string;
      readonly version?: number;
      readonly kind?: 'hedera' | 'evm';
      readonly alg?: 'EdDSA' | 'ES256K-KECCAK';
      readonly bodies: readonly Uint8Array[];
    },
    signal?: AbortSignal,
  ): Promise<{ readonly version: number; readonly signatures: readonly Uint8Array[] }>;
  /** HMAC-SHA-256 of each value, 32 bytes, in order. */
  mac(
    request: { readonly kid: string; readonly version?: number; readonly values: readonly Uint8Array[] },
    signal?: AbortSignal,
  ): Promise<{ readonly version: number; readonly macs: readonly Uint8Array[] }>;
  /** Whether each MAC is that of its value under `version`. */
  verifyMac(
    request: {
      readonly kid: string;
      readonly version: number;
      readonly values: readonly Uint8Array[];
      readonly macs: readonly Uint8Array[];
    },
    signal?: AbortSignal,
  ): Promise<readonly boolean[]>;
  /** Enciphers under the newest version; the version belongs beside the ciphertext. `aad` says whose and what for. */
  encrypt(
    request: { readonly kid: string; readonly values: readonly Uint8Array[]; readonly aad: Uint8Array },
    signal?: AbortSignal,
  ): Promise<{ readonly version: number; readonly values: readonly Uint8Array[] }>;
  /** Opens what was enciphered under `version` and `aad`. Throws SIGNER_REFUSED with the index of what does not open. */
  decrypt(
    request: {
      readonly kid: string;
      readonly version: number;
      readonly values: readonly Uint8Array[];
      readonly aad: Uint8Array;
    },
    signal?: AbortSignal,
  ): Promise<readonly Uint8Array[]>;
  /** DER of a TimeStampReq to DER of a TimeStampResp (RFC 3161); a token in it is verified under the pinned key. */
  timestamp(
    request: { readonly kid: string; readonly query: Uint8Array },
    signal?: AbortSignal,
  ): Promise<{ readonly version: number; readonly response: Uint8Array }>;
  /** The last checkpoint of a log that the signer agreed to sign. */
  lastCheckpoint(origin: string): Promise<{ readonly size: bigint; readonly root: Uint8Array } | undefined>;
  close(): Promise<void>;
}

export interface SignerClientOptions extends SignerTransportOptions {
  /** Keeps apart the idempotency keys of systems that share a signer. */
  readonly namespace?: string;
  /**
   * The public key known for a version, e.g. from `published_keys`; asked when the signer first shows the version. One
   * without is pinned as it was shown.
   */
  readonly pins?: (kid: string, version: number) => Promise<SignerJwk | undefined>;
}

const MAX_VALUES = 1_000;
const MAX_CHUNK_BYTES = 4 * 1024 * 1024;
/** Verifications in flight; they run on the thread pool. */
const VERIFY_AT_ONCE = 64;

export function createSignerClient(options: SignerClientOptions): Signer {
  const transport = createSignerTransport(options);
  const { namespace = 'proofline', pins = async () => undefined } = options;
  const pinned = new Map<string, { readonly alg: KeyAlg; readonly jwk: SignerJwk; readonly key: KeyObject }>();

  /** Remembers each version's public key; a version that shows another key than before is refused. */
  async function pin(key: SignerKey): Promise<SignerKey> {
    for (const { version, alg, jwk } of key.versions) {
      if (jwk === undefined) continue;
      const id = `${key.kid}/${version}`;
      const known = pinned.get(id)?.jwk ?? (await pins(key.kid, version)) ?? pinned.get(id)?.jwk;
      if (known !== undefined && !isSameJwk(known, jwk))
        throw new ProoflineError(
          'SIGNER_BAD_SIGNATURE',
          `${key.kid} version ${version} is another key than the one pinned`,
        );
      if (!pinned.has(id)) pinned.set(id, { alg, jwk, key: importPublicKey(jwk, alg) });
    }
    return key;
  }

  async function fetchKey(kid: string): Promise<SignerKey> {
    const body = await transport.get(`/v1/keys/${encodeURIComponent(kid)}`);
    if (body === undefined)
      throw new ProoflineError('SIGNER_REFUSED', `the signer has no key ${JSON.stringify(kid)}`, {
        extra: { signerCode: 'not_found' },
      });
    const key = readKey(body);
    if (key.kid !== kid) throw badAnswer(`key ${key.kid}, expected ${kid}`);
    return pin(key);
  }

  async function requireSigned(
    kid: string,
    version: number,
    alg: SignerAlg,
    values: readonly Uint8Array[],
    signatures: readonly Uint8Array[],
    kind: SignRequest['kind'] = 'tbs',
  ): Promise<void> {
    const judge = kind === 'tbs' ? isSigned : isDigestSigned;
    const id = `${kid}/${version}`;
    if (!pinned.has(id)) await fetchKey(kid);
    const known = pinned.get(id);
    if (known === undefined || known.alg !== alg)
      throw badAnswer(`${kid} version ${version} is not a key of the signer for ${alg}`);
    for (let at = 0; at < values.length; at += VERIFY_AT_ONCE) {
      const verdicts = await Promise.all(
        values
          .slice(at, at + VERIFY_AT_ONCE)
          .map((value, i) => judge(alg, known.key, value, signatures[at + i] as Uint8Array)),
      );
      const bad = verdicts.indexOf(false);
      if (bad >= 0)
        throw new ProoflineError(
          'SIGNER_BAD_SIGNATURE',
          `signature ${at + bad} does not verify under ${kid} version ${version}`,
          { extra: { index: at + bad } },
        );
    }
  }

  async function signChunk(
    request: SignRequest,
    values: readonly Uint8Array[],
    version: number | undefined,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly version: number; readonly signatures: readonly Uint8Array[] }> {
    const { kid, alg, kind, context } = request;
    const key = idempotencyKey(namespace, { kid, version, alg, kind, values, context });
    const body = {
      ...(version === undefined ? {} : { version }),
      alg,
      input: { kind, values: values.map(encode) },
      context,
    };
    const answer = readSignatures(await transport.post(`/v1/keys/${encodeURIComponent(kid)}/sign`, body, key, signal), {
      kid,
      alg,
      count: values.length,
      ...(version === undefined ? {} : { version }),
    });
    await requireSigned(kid, answer.version, alg, values, answer.signatures, kind);
    return answer;
  }

  function ask(
    r: {
      readonly kid: string;
      readonly verb: string;
      readonly version?: number | undefined;
      readonly alg?: string;
      readonly kind?: string;
      readonly values: readonly Uint8Array[];
      /** What the values are called on the wire. */
      readonly name?: string;
      readonly more?: Readonly<Record<string, unknown>>;
    },
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const { kid, verb, version, alg = '', kind, values, name = 'values', more = {} } = r;
    const context = { verb, ...(typeof more.aad === 'string' ? { aad: more.aad } : {}) };
    const key = idempotencyKey(namespace, { kid, version, alg, kind: kind ?? verb, values, context });
    const body = {
      ...(version === undefined ? {} : { version }),
      ...(kind === undefined ? {} : { kind }),
      [name]: values.map(encode),
      ...more,
    };
    return transport.post(`/v1/keys/${encodeURIComponent(kid)}/${verb}`, body, key, signal);
  }

  return {
    info: async () => readInfo(await transport.get('/v1/info')),
    keys: async () => Promise.all(readKeys(await transport.get('/v1/keys')).map(pin)),
    key: fetchKey,
    async sign(request, signal) {
      const signatures: Uint8Array[] = [];
      let version = request.version;
      for (const values of chunk(request.values)) {
        // The version of the first chunk serves the others, also across a rotation.
        const answer = await withOffset(signatures.length, () => signChunk(request, values, version, signal));
        version = answer.version;
        for (const signature of answer.signatures) signatures.push(signature);
      }
      if (version === undefined) throw new RangeError('sign: no values');
      return { kid: request.kid, version, alg: request.alg, signatures };
    },
    async signTransaction({ kid, version, kind = 'hedera', alg = 'EdDSA', bodies }, signal) {
      const answer = readSignatures(
        await ask({ kid, verb: 'sign-transaction', version, alg, kind, values: bodies, name: 'bodies' }, signal),
        {
          kid,
          alg,
          count: bodies.length,
          ...(version === undefined ? {} : { version }),
          ...(kind === 'evm' ? { length: 65 } : {}),
        },
      );
      await requireSigned(kid, answer.version, alg, bodies, answer.signatures);
      return answer;
    },
    async mac({ kid, version, values }, signal) {
      const body = await ask({ kid, verb: 'mac', version, alg: 'HS256', values }, signal);
      const macs = readValues(body, 'macs', values.length);
      if (macs.some((mac) => mac.length !== 32)) throw badAnswer('a MAC is not 32 bytes');
      return { version: readVersionOf(body, kid, version), macs };
    },
    async verifyMac({ kid, version, values, macs }, signal) {
      const body = await ask({ kid, verb: 'verify-mac', version, values, more: { macs: macs.map(encode) } }, signal);
      readVersionOf(body, kid, version);
      return readVerdicts(body, values.length);
    },
    async encrypt({ kid, values, aad }, signal) {
      const body = await ask({ kid, verb: 'encrypt', alg: 'A256GCM', values, more: { aad: encode(aad) } }, signal);
      return { version: readVersionOf(body, kid, undefined), values: readValues(body, 'values', values.length) };
    },
    async decrypt({ kid, version, values, aad }, signal) {
      const body = await ask({ kid, verb: 'decrypt', version, values, more: { aad: encode(aad) } }, signal);
      readVersionOf(body, kid, version);
      return readValues(body, 'values', values.length);
    },
    async timestamp({ kid, query }, signal) {
      const key = idempotencyKey(namespace, {
        kid,
        version: undefined,
        alg: 'RFC3161',
        kind: 'timestamp',
        values: [query],
        context: {},
      });
      const path = `/v1/keys/${encodeURIComponent(kid)}/timestamp`;
      const body = await transport.post(path, { query: encode(query) }, key, signal);
      const version = readVersionOf(body, kid, undefined);
      const response = readValue(body, 'response');
      const shown = (await fetchKey(kid)).versions.find((one) => one.version === version);
      const known = pinned.get(`${kid}/${version}`);
      if (shown === undefined || known === undefined) throw badAnswer(`${kid} has no version ${version}`);
      await verifyTokenResponse(query, response, { chain: shown.chain, key: known.key, alg: known.alg });
      return { version, response };
    },
    async lastCheckpoint(origin) {
      const body = await transport.get(`/v1/log-memory/${encodeURIComponent(origin)}`);
      return body === undefined ? undefined : readTreeHead(body);
    },
    close: transport.close,
  };
}

/** Splits by count and by bytes, so that every request stays below the signer's limits. */
function* chunk(values: readonly Uint8Array[]): Generator<readonly Uint8Array[]> {
  let from = 0;
  let bytes = 0;
  for (const [at, value] of values.entries()) {
    if (at > from && (at - from >= MAX_VALUES || bytes + value.length > MAX_CHUNK_BYTES)) {
      yield values.slice(from, at);
      from = at;
      bytes = 0;
    }
    bytes += value.length;
  }
  if (from < values.length) yield values.slice(from);
}

/** An index in an error counts from the first value of the request, not of the chunk. */
async function withOffset<T>(offset: number, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    if (offset === 0 || !(cause instanceof ProoflineError) || typeof cause.extra.index !== 'number') throw cause;
    throw new ProoflineError(cause.code, cause.detail, {
      cause,
      extra: { ...cause.extra, index: cause.extra.index + offset },
    });
  }
}

/** SHA-256 (hex) over namespace, kid, version, algorithm, the ordered hashes of the inputs and the context. */
function idempotencyKey(
  namespace: string,
  r: {
    readonly kid: string;
    readonly version: number | undefined;
    readonly alg: string;
    readonly kind: string;
    readonly values: readonly Uint8Array[];
    readonly context: Readonly<Record<string, string>>;
  },
): string {
  const inputs = createHash('sha256');
  for (const value of r.values) inputs.update(createHash('sha256').update(value).digest());
  const named = {
    namespace,
    kid: r.kid,
    version: r.version ?? null,
    alg: r.alg,
    kind: r.kind,
    count: r.values.length,
    inputs: inputs.digest('hex'),
    context: r.context,
  };
  return createHash('sha256').update(canonicalBytes(named)).digest('hex');
}

const encode = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');
