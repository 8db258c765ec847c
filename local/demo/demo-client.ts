import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { LocalInfo } from '../stack/local-info.ts';

export interface ProofView {
  readonly id: string;
  readonly state: string;
  readonly operations?: { readonly workflowUrl: string };
}

export interface TimelineStep {
  readonly state: string;
  readonly at: string;
}

interface NewProof {
  readonly digest: { readonly alg: string; readonly value: string };
  readonly reference: string;
}

/** The few calls that the demonstration shows, over HTTP as any client makes them. Each throws with the answer's text. */
export interface DemoClient {
  submit(proof: NewProof): Promise<ProofView>;
  submitBulk(proofs: readonly NewProof[]): Promise<{ readonly id: string }>;
  read(id: string, as?: 'client' | 'operator'): Promise<ProofView>;
  /** Calls `onChange` with the number of proofs by state, until all are final. */
  followBulk(id: string, onChange: (states: Readonly<Record<string, number>>) => void): Promise<void>;
  timeline(id: string): Promise<readonly TimelineStep[]>;
  text(path: string): Promise<string>;
  /** The signed PDF with its revocation data, waited for up to 30 s at a time. */
  pdf(id: string): Promise<Uint8Array>;
  pause(): Promise<void>;
}

const POLL_MS = 100;
const PDF_ASKS = 4;

export function createDemoClient(info: Pick<LocalInfo, 'apiUrl' | 'apiKey' | 'operatorKey'>): DemoClient {
  const ask = async (path: string, options: { body?: string; type?: string; key?: string } = {}): Promise<Response> => {
    const { body, type = 'application/json', key = info.apiKey } = options;
    const response = await fetch(`${info.apiUrl}${path}`, {
      headers: {
        authorization: `Bearer ${key}`,
        ...(body !== undefined && { 'content-type': type, 'idempotency-key': randomUUID() }),
      },
      ...(body !== undefined && { method: 'POST', body }),
      signal: AbortSignal.timeout(60_000),
    });
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${(await response.text()).slice(0, 500)}`);
    return response;
  };
  const call = async (...args: Parameters<typeof ask>): Promise<string> => (await ask(...args)).text();
  return {
    submit: async (proof) => JSON.parse(await call('/v1/proofs', { body: JSON.stringify(proof) })),
    submitBulk: async (proofs) =>
      JSON.parse(
        await call('/v1/submissions', {
          body: `${proofs.map((proof) => JSON.stringify(proof)).join('\n')}\n`,
          type: 'application/x-ndjson',
        }),
      ),
    read: async (id, as = 'client') =>
      JSON.parse(await call(`/v1/proofs/${id}`, as === 'operator' ? { key: info.operatorKey } : {})),
    async followBulk(id, onChange) {
      for (let last = ''; ; ) {
        const { states, final } = JSON.parse(await call(`/v1/submissions/${id}`));
        const seen = JSON.stringify(states);
        if (seen !== last) onChange(states);
        last = seen;
        if (final) return;
        await delay(POLL_MS);
      }
    },
    timeline: async (id) => JSON.parse(await call(`/v1/proofs/${id}/timeline`)).data,
    text: (path) => call(path),
    async pdf(id) {
      for (let asked = 0; asked < PDF_ASKS; asked++) {
        const response = await ask(`/v1/proofs/${id}/certificate.pdf?level=B-LT&wait=30`);
        if (response.status === 200) return new Uint8Array(await response.arrayBuffer());
        await response.body?.cancel();
      }
      throw new Error(`the PDF of ${id} is not rendered within ${(PDF_ASKS * 30) / 60} minutes`);
    },
    pause: () => delay(POLL_MS),
  };
}
