/** A signer of a test file's own, its clients, and requests as they go over the wire. */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from '@jest/globals';
import { Agent, request } from 'undici';
import { createSignerClient, type Signer } from '../../activities/sealing/signer-client.ts';
import { systemClock } from '../../domain/clock.ts';
import { sealHeader, sealSigningInput } from '../../domain/seal.ts';
import { readPair } from '../keys/ensure-local-keys.ts';
import type { KeySpec } from './ensure-signer-keys.ts';
import { type RunningSigner, startSigner } from './start-signer.ts';

/** Keys of the kinds that no signer has by itself. */
const MORE_KEYS = {
  'pdf-rsa': { purpose: 'pdf', alg: 'RS256' },
  'pdf-pss': { purpose: 'pdf', alg: 'PS256' },
  'seal-digests': { purpose: 'seal', alg: 'ES256', digests: true },
  'hedera-ecdsa': { purpose: 'tx-hedera', alg: 'ES256K-KECCAK' },
  unwrap: { purpose: 'decrypt', alg: 'RSA-OAEP-256' },
} as const satisfies Readonly<Record<string, KeySpec>>;

export const ALL_MORE_KEYS = Object.keys(MORE_KEYS) as readonly (keyof typeof MORE_KEYS)[];

type ClientName = 'worker' | 'tsa' | 'admin';

export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly json: Record<string, unknown>;
  readonly etag: string | undefined;
}

export interface TestSigner {
  readonly dir: string;
  readonly signer: RunningSigner;
  /** What it logged, oldest first. */
  readonly events: readonly Readonly<Record<string, unknown>>[];
  /** Connections with this certificate, or without one; closed at the end. */
  agentOf(pair: { readonly cert: string; readonly key: string } | undefined): Promise<Agent>;
  /** GET, or POST where there is a body, under an idempotency key made of path and body. */
  call(who: ClientName | Agent, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** The client that production uses; to be closed. */
  client(who: ClientName): Signer;
}

/** Registers the hooks; what it returns is filled in before the first test. */
export function useTestSigner(moreKeys: readonly (keyof typeof MORE_KEYS)[] = []): TestSigner {
  const agents: Agent[] = [];
  const events: Readonly<Record<string, unknown>>[] = [];
  const own = new Map<ClientName, Agent>();
  const test: { -readonly [K in keyof TestSigner]: TestSigner[K] } = {
    dir: '',
    signer: undefined as unknown as RunningSigner,
    events,
    async agentOf(pair) {
      const agent = new Agent({ connect: { ca: await readFile(test.signer.keys.transportCaFile), ...pair } });
      agents.push(agent);
      return agent;
    },
    async call(who, path, body, headers = {}) {
      const dispatcher = typeof who === 'string' ? own.get(who) : who;
      if (dispatcher === undefined) throw new Error('the signer has not started');
      const text = body === undefined ? undefined : JSON.stringify(body);
      const key = createHash('sha256').update(`${path}${text}`).digest('hex');
      const response = await request(`${test.signer.url}${path}`, {
        dispatcher,
        method: text === undefined ? 'GET' : 'POST',
        headers:
          text === undefined ? headers : { 'content-type': 'application/json', 'idempotency-key': key, ...headers },
        ...(text === undefined ? {} : { body: text }),
      });
      const answer = await response.body.text();
      return {
        status: response.statusCode,
        text: answer,
        json: answer === '' ? {} : JSON.parse(answer),
        etag: response.headers.etag as string | undefined,
      };
    },
    client(who) {
      const { url, keys } = test.signer;
      return createSignerClient({ url, caFile: keys.transportCaFile, ...keys.clients[who], clock: systemClock() });
    },
  };
  beforeAll(async () => {
    test.dir = await mkdtemp(join(tmpdir(), 'proofline-signer-'));
    test.signer = await startSigner({
      dir: test.dir,
      clock: systemClock(),
      log: (event) => events.push(event),
      moreKeys: Object.fromEntries(moreKeys.map((kid) => [kid, MORE_KEYS[kid]])),
    });
    for (const who of ['worker', 'tsa', 'admin'] as const)
      own.set(who, await test.agentOf(await readPair(test.signer.keys.clients[who])));
  });
  afterAll(async () => {
    await Promise.all(agents.map((agent) => agent.destroy()));
    await test.signer.stop();
    await rm(test.dir, { recursive: true });
  });
  return test;
}

export const b64 = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString('base64url');

/** What a seal of a small statement signs, under this version of the key `seal`. */
export const sealInput = (n: number | string, version = 1): string =>
  b64(sealSigningInput(sealHeader('seal', version), Buffer.from(`{"n":"${n}"}`)));

/** The body of a request to sign. */
export const tbs = (alg: string, values: readonly string[], more = {}) => ({
  alg,
  input: { kind: 'tbs', values },
  context: {},
  ...more,
});
