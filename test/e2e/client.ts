import { createHash, randomBytes } from 'node:crypto';
import type { Bundle } from '../../domain/bundle.ts';
import type { TrustDocument } from '../../domain/trust.ts';
import type { Stack } from '../../local/stack/start-stack.ts';

export interface ProofView {
  readonly id: string;
  readonly state: string;
  readonly digest: { readonly alg: 'sha-256'; readonly value: string };
  readonly submission: string;
  readonly receivedAt: string;
  readonly failure?: unknown;
  readonly operations?: { readonly workflowId: string; readonly workflowUrl: string };
}

export interface SubmissionView {
  readonly id: string;
  readonly final: boolean;
  readonly states: Readonly<Record<string, number>>;
}

/** A client of the running system: plain HTTP, as an integrator writes it. */
export interface TestClient {
  request(
    method: string,
    path: string,
    options?: { body?: unknown; text?: string; type?: string; headers?: Record<string, string>; key?: string },
  ): Promise<Response>;
  submitOne(options?: { anchorPolicy?: string; key?: string }): Promise<ProofView>;
  submitMany(count: number, query?: string): Promise<SubmissionView>;
  /** Asks with `?wait=` until the proof is in one of `states`; throws after `withinMs` with what it saw last. */
  untilState(id: string, states: readonly string[], options?: { withinMs?: number; key?: string }): Promise<ProofView>;
  untilFinal(submission: string, withinMs?: number): Promise<SubmissionView>;
  bundle(id: string, key?: string): Promise<{ readonly text: string; readonly parsed: Bundle }>;
  timeline(id: string): Promise<readonly { readonly state: string; readonly changesState: boolean }[]>;
  trust(): Promise<TrustDocument>;
}

export function createTestClient(stack: Stack): TestClient {
  const { apiUrl, apiKey } = stack.info;
  const client: TestClient = {
    async request(method, path, { body, text, type = 'application/json', headers = {}, key = apiKey } = {}) {
      const payload = text ?? (body === undefined ? undefined : JSON.stringify(body));
      return fetch(`${apiUrl}${path}`, {
        method,
        headers: { authorization: `Bearer ${key}`, ...(payload !== undefined && { 'content-type': type }), ...headers },
        ...(payload !== undefined && { body: payload }),
      });
    },
    async submitOne({ anchorPolicy, key } = {}) {
      const submission = await ok<SubmissionView>(
        client.request('POST', '/v1/submissions', {
          body: { proofs: [newProof()], ...(anchorPolicy !== undefined && { anchorPolicy }) },
          ...(key !== undefined && { key }),
        }),
        202,
      );
      const { data } = await ok<{ data: ProofView[] }>(
        client.request('GET', '/v1/proofs?limit=20', key === undefined ? {} : { key }),
      );
      const proof = data.find((one) => one.submission === submission.id);
      if (proof === undefined) throw new Error(`the proof of submission ${submission.id} is not listed`);
      return proof;
    },
    submitMany(count, query = '') {
      const text = `${Array.from({ length: count }, () => JSON.stringify(newProof())).join('\n')}\n`;
      return ok(client.request('POST', `/v1/submissions${query}`, { text, type: 'application/x-ndjson' }), 202);
    },
    async untilState(id, states, { withinMs = 30_000, key } = {}) {
      const deadline = Date.now() + withinMs;
      for (;;) {
        const proof = await ok<ProofView>(client.request('GET', `/v1/proofs/${id}`, key === undefined ? {} : { key }));
        if (states.includes(proof.state)) return proof;
        if (Date.now() > deadline)
          throw new Error(`${id} is ${proof.state}, not ${states.join(' or ')}: ${JSON.stringify(proof)}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    async untilFinal(submission, withinMs = 60_000) {
      const deadline = Date.now() + withinMs;
      for (;;) {
        const view = await ok<SubmissionView>(client.request('GET', `/v1/submissions/${submission}?wait=5`));
        if (view.final) return view;
        if (Date.now() > deadline) throw new Error(`submission ${submission} is ${JSON.stringify(view.states)}`);
      }
    },
    async bundle(id, key) {
      const response = await client.request('GET', `/v1/proofs/${id}/bundle`, key === undefined ? {} : { key });
      const text = await response.text();
      if (response.status !== 200) throw new Error(`bundle: ${response.status} ${text}`);
      return { text, parsed: JSON.parse(text) };
    },
    async timeline(id) {
      return (
        await ok<{ data: { state: string; changesState: boolean }[] }>(
          client.request('GET', `/v1/proofs/${id}/timeline`),
        )
      ).data;
    },
    trust: () => ok(client.request('GET', '/.well-known/proofline.json')),
  };
  return client;
}

/** A proof to submit of bytes that nobody had before. */
export function newProof(): { digest: { alg: string; value: string } } {
  return { digest: { alg: 'sha-256', value: createHash('sha256').update(randomBytes(16)).digest('hex') } };
}

export async function ok<T>(answer: Promise<Response>, status = 200): Promise<T> {
  const response = await answer;
  if (response.status !== status) throw new Error(`${response.status} instead of ${status}: ${await response.text()}`);
  return (await response.json()) as T;
}
