/** A PKCS#11 token as a home of keys: a few worker threads with one session each, since its calls block. */
import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { type KeyHandle, makeHandle } from '../key-handle.ts';
import type { PublicJwk } from '../key-version.ts';
import { SignerProblem } from '../problem.ts';
import type { TokenAlg } from './public-jwk.ts';

export interface TokenConfig {
  /** Path or name of `pkcs11js`. */
  readonly binding: string;
  /** The token's own library, e.g. libsofthsm2.so. */
  readonly library: string;
  readonly tokenLabel: string;
  readonly pin: string;
}

export type TokenRequest =
  | { readonly verb: 'generate'; readonly alg: TokenAlg; readonly keyId: string; readonly label: string }
  | { readonly verb: 'describe'; readonly alg: TokenAlg; readonly keyId: string }
  | {
      readonly verb: 'sign';
      readonly alg: TokenAlg;
      readonly keyId: string;
      readonly values: readonly Uint8Array[];
      readonly isDigest: boolean;
    };

export interface TokenKey {
  readonly label: string;
  readonly jwk: PublicJwk;
}
export type TokenResult = TokenKey | readonly Uint8Array[];

export interface Token {
  /** Makes a key pair that never leaves the token; the id names it for ever. */
  generate(alg: TokenAlg, label: string): Promise<TokenKey & { readonly keyId: string }>;
  describe(alg: TokenAlg, keyId: string): Promise<TokenKey>;
  handleOf(alg: TokenAlg, keyId: string): KeyHandle;
  close(): Promise<void>;
}

/** Values in one message: small enough that a batch is spread over the threads. */
const CHUNK = 64;

/** Opens the sessions. Throws when the binding, the library or the token is not there, or the PIN is wrong. */
export async function openToken(config: TokenConfig, threads = availableParallelism()): Promise<Token> {
  const lanes: Lane[] = [];
  try {
    // One after the other: the library is initialised once a process, and logged in once.
    for (let n = 0; n < threads; n++) lanes.push(await openLane(config));
  } catch (cause) {
    await Promise.all(lanes.map((lane) => lane.close()));
    throw cause;
  }
  const ask = (request: TokenRequest): Promise<TokenResult> =>
    lanes.reduce((least, lane) => (lane.load() < least.load() ? lane : least)).ask(request);

  async function signAll(
    alg: TokenAlg,
    keyId: string,
    values: readonly Uint8Array[],
    isDigest: boolean,
  ): Promise<Uint8Array[]> {
    const chunks: (readonly Uint8Array[])[] = [];
    for (let at = 0; at < values.length; at += CHUNK) chunks.push(values.slice(at, at + CHUNK));
    const signed = await Promise.all(chunks.map((chunk) => ask({ verb: 'sign', alg, keyId, values: chunk, isDigest })));
    return signed.flatMap((part) => part as readonly Uint8Array[]);
  }

  return {
    async generate(alg, label) {
      const keyId = randomBytes(16).toString('hex');
      return { ...((await ask({ verb: 'generate', alg, keyId, label })) as TokenKey), keyId };
    },
    describe: async (alg, keyId) => (await ask({ verb: 'describe', alg, keyId })) as TokenKey,
    handleOf: (alg, keyId) =>
      makeHandle(alg, {
        sign: (values) => signAll(alg, keyId, values, false),
        ...(alg === 'ES256' && { signDigests: (digests) => signAll(alg, keyId, digests, true) }),
      }),
    close: async () => void (await Promise.all(lanes.map((lane) => lane.close()))),
  };
}

interface Lane {
  load(): number;
  ask(request: TokenRequest): Promise<TokenResult>;
  close(): Promise<void>;
}

async function openLane(config: TokenConfig): Promise<Lane> {
  const waiting = new Map<number, { done(result: TokenResult): void; failed(cause: Error): void }>();
  let asked = 0;
  let ended: Error | undefined;
  const worker = new Worker(new URL('./token-worker.ts', import.meta.url), { workerData: config, execArgv: [] });
  const endAll = (cause: Error): void => {
    ended = cause;
    for (const { failed } of waiting.values()) failed(cause);
    waiting.clear();
  };
  worker.on('message', (message: { id: number; result?: TokenResult; fault?: string }) => {
    const caller = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.result !== undefined) caller?.done(message.result);
    else caller?.failed(unavailable(message.fault ?? 'unknown'));
  });
  worker.on('error', (cause) => endAll(unavailable(cause instanceof Error ? cause.message : 'unknown')));
  worker.on('exit', () => endAll(unavailable('its thread ended')));
  await new Promise<TokenResult>((done, failed) => {
    waiting.set(0, { done, failed });
  });
  return {
    load: () => (ended === undefined ? waiting.size : Number.POSITIVE_INFINITY),
    ask(request) {
      if (ended !== undefined) return Promise.reject(ended);
      const id = ++asked;
      return new Promise((done, failed) => {
        waiting.set(id, { done, failed });
        worker.postMessage({ id, request });
      });
    },
    close: async () => void (await worker.terminate()),
  };
}

const unavailable = (reason: string): SignerProblem =>
  new SignerProblem('unavailable', `the token does not answer: ${reason.slice(0, 200)}`);
