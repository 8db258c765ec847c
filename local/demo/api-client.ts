/** The few calls of the API that the demonstration makes, as an integrator would write them. */
export interface ProofView {
  readonly id: string;
  readonly state: string;
  readonly operations?: { readonly workflowId: string; readonly workflowUrl: string };
}

export interface SubmissionView {
  readonly id: string;
  readonly final: boolean;
  readonly states: Readonly<Record<string, number>>;
}

export interface TimelineRow {
  readonly state: string;
  readonly at: string;
}

export interface ApiClient {
  submitProof(digest: string, reference: string): Promise<ProofView>;
  submitRecords(digests: readonly string[]): Promise<SubmissionView>;
  readSubmission(id: string): Promise<SubmissionView>;
  readProof(id: string): Promise<ProofView>;
  readTimeline(id: string): Promise<readonly TimelineRow[]>;
  /** The text of `bundle`, `certificate` or `receipt`. */
  download(id: string, part: 'bundle' | 'certificate' | 'receipt', accept?: string): Promise<string>;
}

const TIMEOUT_MS = 60_000;

/** `digest` is hex SHA-256 throughout. Every call throws with the problem that the API names. */
export function createApiClient(apiUrl: string, key: string): ApiClient {
  const call = async (method: string, path: string, init: { type?: string; body?: string; accept?: string } = {}) => {
    const reply = await fetch(`${apiUrl}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(init.type === undefined ? {} : { 'content-type': init.type, 'idempotency-key': crypto.randomUUID() }),
        ...(init.accept === undefined ? {} : { accept: init.accept }),
      },
      ...(init.body === undefined ? {} : { body: init.body }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await reply.text();
    if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${text.slice(0, 500)}`);
    return text;
  };
  const digestOf = (value: string) => ({ alg: 'sha-256', value });
  return {
    submitProof: async (value, reference) =>
      JSON.parse(
        await call('POST', '/v1/proofs', {
          type: 'application/json',
          body: JSON.stringify({ digest: digestOf(value), reference }),
        }),
      ),
    submitRecords: async (values) =>
      JSON.parse(
        await call('POST', '/v1/submissions', {
          type: 'application/x-ndjson',
          body: values.map((value) => `${JSON.stringify({ digest: digestOf(value) })}\n`).join(''),
        }),
      ),
    readSubmission: async (id) => JSON.parse(await call('GET', `/v1/submissions/${id}`)),
    readProof: async (id) => JSON.parse(await call('GET', `/v1/proofs/${id}`)),
    readTimeline: async (id) =>
      (JSON.parse(await call('GET', `/v1/proofs/${id}/timeline`)) as { data: TimelineRow[] }).data,
    download: (id, part, accept) => call('GET', `/v1/proofs/${id}/${part}`, accept === undefined ? {} : { accept }),
  };
}
