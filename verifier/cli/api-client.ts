/** The few calls that `submit` makes. Each has a deadline, answers are bounded, and a POST is repeated under its key. */
import type { Digest } from '../../domain/digest.ts';
import { readResponse } from '../read-response.ts';

export interface Submission {
  readonly id: string;
  readonly final: boolean;
  readonly items: readonly {
    readonly index: number;
    readonly id?: string;
    readonly state?: string;
    readonly error?: { readonly code: string; readonly detail: string };
  }[];
}

export interface ApiClient {
  submit(digests: readonly Digest[], idempotencyKey: string): Promise<Submission>;
  /** Answers when the submission is final, or after `seconds` (≤ 30). */
  waitFor(id: string, seconds: number): Promise<Submission>;
  /** The bundle's JSON text as it came. */
  readBundle(proof: string): Promise<string>;
}

const TIMEOUT_MS = 45_000;
const ATTEMPTS = 4;
const MAX_BYTES = 8 * 1_048_576;

/** An answer of the API that is no success: its problem document in one line. */
export class ApiFault extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export function createApiClient(apiUrl: string, apiKey: string, pause: (ms: number) => Promise<void>): ApiClient {
  const base = new URL(apiUrl).href.replace(/\/+$/, '');

  async function call(method: string, path: string, body?: unknown, idempotencyKey?: string): Promise<string> {
    for (let attempt = 1; ; attempt++) {
      try {
        const response = await fetch(`${base}${path}`, {
          method,
          redirect: 'error',
          signal: AbortSignal.timeout(TIMEOUT_MS),
          headers: {
            authorization: `Bearer ${apiKey}`,
            accept: 'application/json, application/problem+json, application/vnd.proofline.bundle+json',
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
            ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        const text = await readResponse(response, MAX_BYTES);
        if (response.ok) return text;
        const fault = new ApiFault(response.status, describeProblem(response.status, text));
        if ((response.status !== 429 && response.status < 500) || attempt === ATTEMPTS) throw fault;
        const asked = Number(response.headers.get('retry-after'));
        await pause(Math.min(Number.isFinite(asked) && asked > 0 ? asked * 1000 : 500 * attempt, 30_000));
      } catch (error) {
        if (error instanceof ApiFault) throw error;
        if (attempt === ATTEMPTS) throw new Error(`${base} cannot be reached: ${describe(error)}`);
        await pause(500 * attempt);
      }
    }
  }

  return {
    submit: async (digests, key) =>
      readSubmission(await call('POST', '/v1/submissions', { proofs: digests.map((digest) => ({ digest })) }, key)),
    waitFor: async (id, seconds) =>
      readSubmission(await call('GET', `/v1/submissions/${encodeURIComponent(id)}?wait=${seconds}`)),
    readBundle: (proof) => call('GET', `/v1/proofs/${encodeURIComponent(proof)}/bundle`),
  };
}

function readSubmission(text: string): Submission {
  const value = JSON.parse(text) as Partial<Submission>;
  if (typeof value.id !== 'string' || !Array.isArray(value.items))
    throw new Error('the API answered something else than a submission');
  return { id: value.id, final: value.final === true, items: value.items };
}

function describeProblem(status: number, text: string): string {
  try {
    const { code, title, detail } = JSON.parse(text) as Record<string, unknown>;
    return `HTTP ${status}: ${[code, title, detail].filter((part) => typeof part === 'string' && part !== '').join(', ')}`;
  } catch {
    return `HTTP ${status}`;
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error ? `${error.message} (${cause.message})` : error.message;
}
