import { readFile } from 'node:fs/promises';
import { Agent, request } from 'undici';

export interface AdminFiles {
  readonly url: string;
  /** PEM files. */
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** A key as signer/1 describes it, as far as an administrator looks at it. */
export interface DescribedKey {
  readonly kid: string;
  readonly purpose: string;
  readonly primaryVersion?: number;
  readonly versions: readonly {
    readonly version: number;
    readonly state: string;
    readonly alg: string;
    readonly activateAt: string;
    readonly notSignAfter?: string;
    readonly compromisedAt?: string;
  }[];
}

export interface Admin {
  keys(): Promise<readonly DescribedKey[]>;
  key(kid: string): Promise<DescribedKey>;
  rotate(
    kid: string,
    body: { readonly after: number; readonly announceMs?: number; readonly overlapMs?: number },
  ): Promise<DescribedKey>;
  withdraw(
    kid: string,
    body: { readonly version: number; readonly state: 'compromised' | 'verify-only'; readonly at?: string },
  ): Promise<DescribedKey>;
  close(): Promise<void>;
}

const TIMEOUT_MS = 20_000;

/** Opens a connection as an administrator. Every call throws an Error that names the signer's code. */
export async function openAdmin({ url, caFile, certFile, keyFile }: AdminFiles): Promise<Admin> {
  const [ca, cert, key] = await Promise.all([caFile, certFile, keyFile].map((file) => readFile(file)));
  const agent = new Agent({ connect: { ca, cert, key, minVersion: 'TLSv1.3' } });

  async function call(path: string, body?: unknown): Promise<unknown> {
    const response = await request(`${url}/v1/keys${path}`, {
      dispatcher: agent,
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(body === undefined
        ? {}
        : { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    const answer = (await response.body.json()) as { code?: string; detail?: string };
    if (response.statusCode === 200) return answer;
    throw new Error(`the signer answers ${answer.code ?? response.statusCode}: ${answer.detail ?? ''}`);
  }

  return {
    keys: async () => ((await call('')) as { keys: DescribedKey[] }).keys,
    key: async (kid) => (await call(`/${encodeURIComponent(kid)}`)) as DescribedKey,
    rotate: async (kid, body) => (await call(`/${encodeURIComponent(kid)}/rotate`, body)) as DescribedKey,
    withdraw: async (kid, body) => (await call(`/${encodeURIComponent(kid)}/withdraw`, body)) as DescribedKey,
    close: () => agent.close(),
  };
}
