/** A key of the signer as a function, for the other stand-ins of a local system. */
import { createHash, createPublicKey, verify } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Agent, request } from 'undici';
import { ecdsaRawToDer } from '../../domain/ecdsa-signature.ts';
import type { KeyAlg, PublicJwk } from './key-version.ts';

export interface SignWithOptions {
  readonly url: string;
  /** PEM files. */
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly kid: string;
  readonly alg: KeyAlg;
  /** Of ES256 signatures: r‖s (default), or the DER that CMS holds. */
  readonly form?: 'raw' | 'der';
}

/** The primary version of the key as it was when it was opened. */
export interface RemoteKey {
  readonly version: number;
  /** PEM, leaf first. */
  readonly chain: readonly string[];
  /** Signs the bytes; the signature is verified. Throws an Error that names the signer's code. */
  sign(tbs: Uint8Array): Promise<Uint8Array>;
  close(): Promise<void>;
}

const TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 64 * 1024;

/** Signs with a key that is looked up at the first use, and again after a failure. */
export function createSign(options: SignWithOptions): (tbs: Uint8Array) => Promise<Uint8Array> {
  let opened: Promise<RemoteKey> | undefined;
  return async (tbs) => {
    opened ??= openRemoteKey(options);
    const mine = opened;
    try {
      return await (await mine).sign(tbs);
    } catch (cause) {
      // The signer may have restarted elsewhere, rotated the key or renewed our certificate.
      if (opened === mine) opened = undefined;
      void mine.then(
        (key) => key.close(),
        () => undefined,
      );
      throw cause;
    }
  };
}

/** Connects and reads the key's primary version. Throws when the signer does not answer or has no such key. */
export async function openRemoteKey({
  url,
  caFile,
  certFile,
  keyFile,
  kid,
  alg,
  form = 'raw',
}: SignWithOptions): Promise<RemoteKey> {
  const [ca, cert, key] = await Promise.all([caFile, certFile, keyFile].map((file) => readFile(file)));
  const agent = new Agent({
    connect: { ca, cert, key, minVersion: 'TLSv1.3' },
    connections: 8,
    headersTimeout: TIMEOUT_MS,
    bodyTimeout: TIMEOUT_MS,
  });
  const path = `${url}/v1/keys/${encodeURIComponent(kid)}`;
  const described = (await call(agent, path)) as {
    primaryVersion?: number;
    versions: { version: number; jwk: PublicJwk; chain: string[] }[];
  };
  const primary = described.versions.find((v) => v.version === described.primaryVersion);
  if (primary === undefined) throw new Error(`${kid} has no version that signs now`);
  const publicKey = createPublicKey({ key: { ...primary.jwk }, format: 'jwk' });
  return {
    version: primary.version,
    chain: primary.chain,
    async sign(tbs) {
      const body = JSON.stringify({
        version: primary.version,
        alg,
        input: { kind: 'tbs', values: [Buffer.from(tbs).toString('base64url')] },
        context: {},
      });
      const answer = (await call(agent, `${path}/sign`, body)) as { signatures?: unknown[] };
      const raw = new Uint8Array(Buffer.from(String(answer.signatures?.[0]), 'base64url'));
      if (raw.length !== 64) throw new Error('the signer answers outside its protocol');
      const der = alg === 'ES256' ? ecdsaRawToDer(raw) : raw;
      if (!verify(alg === 'ES256' ? 'sha256' : null, tbs, publicKey, der))
        throw new Error(`the signature does not verify under ${kid} version ${primary.version}`);
      return form === 'der' ? der : raw;
    },
    close: () => agent.close(),
  };
}

async function call(agent: Agent, url: string, body?: string): Promise<unknown> {
  const response = await request(url, {
    method: body === undefined ? 'GET' : 'POST',
    dispatcher: agent,
    signal: AbortSignal.timeout(TIMEOUT_MS),
    ...(body === undefined
      ? {}
      : {
          body,
          headers: {
            'content-type': 'application/json',
            'idempotency-key': createHash('sha256').update(`${url}\n${body}`).digest('hex'),
          },
        }),
  });
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response.body) {
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES) throw new Error('the signer answers more than expected');
    chunks.push(chunk);
  }
  const answer: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  if (response.statusCode !== 200)
    throw new Error(`the signer answers ${(answer as { code?: string }).code ?? response.statusCode}`);
  return answer;
}
