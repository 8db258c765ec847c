/**
 * HTTP to the signer over mutual TLS 1.3. The certificate files are looked at before a request, at most four times a
 * second; when they changed, new connections use the new pair and the old ones are let go, without a restart.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { Agent, buildConnector, request } from 'undici';
import type { Clock } from '../../domain/clock.ts';
import { type ErrorCode, ProoflineError } from '../../domain/errors.ts';
import { BoundedMap } from '../../domain/timestamp/cache.ts';
import { badAnswer } from './signer-protocol.ts';

export interface SignerTransportOptions {
  /** `https://host:port` */
  readonly url: string;
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly clock: Clock;
  /** For a whole request; 20 s unless told. */
  readonly timeoutMs?: number;
}

export interface SignerTransport {
  /** The parsed body, or undefined on 404 to a GET. Throws the catalogue's SIGNER_* or LOG_ROLLBACK. */
  get(path: string, signal?: AbortSignal): Promise<unknown>;
  post(path: string, body: unknown, idempotencyKey: string, signal?: AbortSignal): Promise<unknown>;
  close(): Promise<void>;
}

const LOOK_EVERY_MS = 250;
const CONNECT_MS = 5_000;
const DEFAULT_TIMEOUT_MS = 20_000;
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
const CONNECTIONS = 8;
const MAX_TAGGED = 64;
const MAX_ETAG = 128;

export function createSignerTransport(options: SignerTransportOptions): SignerTransport {
  const { url, clock, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  const files = [options.caFile, options.certFile, options.keyFile] as const;
  /** What was answered with an ETag, by path. */
  const tagged = new BoundedMap<{ etag?: string; body?: unknown }>(MAX_TAGGED);
  let current: { readonly agent: Agent; readonly fingerprint: string } | undefined;
  let lookedAtMs = Number.NEGATIVE_INFINITY;
  let looking: Promise<Agent> | undefined;
  const leaving = new Set<Promise<void>>();

  async function look(): Promise<Agent> {
    const fingerprint = (await Promise.all(files.map((file) => stat(file, { bigint: true }))))
      .map((s) => `${s.ino}:${s.mtimeNs}:${s.size}`)
      .join(' ');
    lookedAtMs = clock.nowMs();
    if (current?.fingerprint === fingerprint) return current.agent;
    const [ca, cert, key] = await Promise.all(files.map((file) => readFile(file)));
    // Between two writes the files do not fit together; the old pair serves until they do.
    if (!new X509Certificate(cert as Buffer).checkPrivateKey(createPrivateKey(key as Buffer)))
      throw new Error('certificate and key do not belong together');
    const before = current;
    // A resumed TLS session would keep the old identity: none is kept.
    const connect = buildConnector({ ca, cert, key, minVersion: 'TLSv1.3', maxCachedSessions: 0, timeout: CONNECT_MS });
    current = {
      agent: new Agent({
        connect,
        connections: CONNECTIONS,
        pipelining: 1,
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        keepAliveTimeout: 30_000,
      }),
      fingerprint,
    };
    if (before !== undefined) {
      const left = before.agent.close().finally(() => leaving.delete(left));
      leaving.add(left);
    }
    return current.agent;
  }

  async function agent(): Promise<Agent> {
    if (current !== undefined && Math.abs(clock.nowMs() - lookedAtMs) < LOOK_EVERY_MS) return current.agent;
    looking ??= look().finally(() => {
      looking = undefined;
    });
    try {
      return await looking;
    } catch (cause) {
      if (current !== undefined) return current.agent;
      throw new ProoflineError('SIGNER_UNAVAILABLE', `the client certificate cannot be read: ${messageOf(cause)}`, {
        cause,
      });
    }
  }

  async function once(
    method: 'GET' | 'POST',
    path: string,
    init: { readonly body?: string; readonly idempotencyKey?: string; readonly signal?: AbortSignal | undefined },
  ): Promise<unknown> {
    const limit = AbortSignal.timeout(timeoutMs);
    const known = method === 'GET' ? tagged.getOrMake(path, () => ({})) : {};
    const response = await request(`${url}${path}`, {
      method,
      dispatcher: await agent(),
      signal: init.signal === undefined ? limit : AbortSignal.any([limit, init.signal]),
      headers: {
        accept: 'application/json',
        ...(known.etag === undefined ? {} : { 'if-none-match': known.etag }),
        ...(init.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(init.idempotencyKey === undefined ? {} : { 'idempotency-key': init.idempotencyKey }),
      },
      ...(init.body === undefined ? {} : { body: init.body }),
    });
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of response.body) {
      length += chunk.length;
      if (length > MAX_ANSWER_BYTES) throw badAnswer(`more than ${MAX_ANSWER_BYTES} bytes`);
      chunks.push(chunk);
    }
    if (response.statusCode === 304 && known.etag !== undefined) return known.body;
    const body = parseJson(Buffer.concat(chunks), response.statusCode);
    if (response.statusCode === 200) {
      const { etag } = response.headers;
      if (typeof etag === 'string' && etag.length <= MAX_ETAG) Object.assign(known, { etag, body });
      return body;
    }
    if (response.statusCode === 404 && method === 'GET') return undefined;
    throw problemToError(response.statusCode, body);
  }

  async function send(...args: Parameters<typeof once>): Promise<unknown> {
    try {
      return await once(...args);
    } catch (first) {
      if (first instanceof ProoflineError || !isDropped(first)) throw toError(first);
      // A kept connection that the signer closed meanwhile; every request here may be repeated.
      try {
        return await once(...args);
      } catch (second) {
        throw isDropped(second) && (await isShutOut()) ? rejected(second) : toError(second);
      }
    }
  }

  /** A server that dislikes a certificate may close without a word; then it does so whatever is asked. */
  async function isShutOut(): Promise<boolean> {
    return once('GET', '/v1/info', {}).then(() => false, isDropped);
  }

  return {
    get: (path, signal) => send('GET', path, { signal }),
    post: (path, body, idempotencyKey, signal) =>
      send('POST', path, { body: JSON.stringify(body), idempotencyKey, signal }),
    async close() {
      await Promise.all([current?.agent.close(), ...leaving]);
      current = undefined;
    },
  };
}

const CODES: Readonly<Record<string, ErrorCode>> = {
  client_not_allowed: 'SIGNER_MTLS_REJECTED',
  key_not_active: 'SIGNER_KEY_NOT_ACTIVE',
  idempotency_conflict: 'SIGNER_IDEMPOTENCY_CONFLICT',
  log_rollback: 'LOG_ROLLBACK',
};

function problemToError(status: number, body: unknown): ProoflineError {
  const problem = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  const wireCode = typeof problem.code === 'string' ? problem.code.slice(0, 64) : undefined;
  if (wireCode === undefined)
    return new ProoflineError(
      status >= 500 ? 'SIGNER_UNAVAILABLE' : 'SIGNER_BAD_ANSWER',
      `HTTP ${status} without a code`,
    );
  const code = CODES[wireCode] ?? (problem.retryable === true ? 'SIGNER_UNAVAILABLE' : 'SIGNER_REFUSED');
  const detail = typeof problem.detail === 'string' ? `: ${problem.detail.slice(0, 500)}` : '';
  const { index, lastSize, lastRoot } = problem;
  const extra = {
    signerCode: wireCode,
    ...(Number.isSafeInteger(index) ? { index } : {}),
    ...(typeof lastSize === 'string' && typeof lastRoot === 'string'
      ? { lastSize: lastSize.slice(0, 20), lastRoot: lastRoot.slice(0, 64) }
      : {}),
  };
  return new ProoflineError(code, `${wireCode}${detail}`, { extra });
}

function toError(cause: unknown): ProoflineError {
  if (cause instanceof ProoflineError) return cause;
  const code = codeOf(cause);
  // Under TLS 1.3 the server judges our certificate after the handshake: its alert arrives with the first answer.
  const isTls = /^(?:ERR_SSL|ERR_TLS|CERT_|SELF_SIGNED|UNABLE_TO|DEPTH_ZERO)/.test(code);
  return new ProoflineError(
    isTls ? 'SIGNER_MTLS_REJECTED' : 'SIGNER_UNAVAILABLE',
    `${code} ${messageOf(cause)}`.trim(),
    { cause },
  );
}

function rejected(cause: unknown): ProoflineError {
  return new ProoflineError('SIGNER_MTLS_REJECTED', 'every connection is closed after the handshake', { cause });
}

const isDropped = (cause: unknown): boolean => ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes(codeOf(cause));

function codeOf(cause: unknown): string {
  const { code } = (typeof cause === 'object' && cause !== null ? cause : {}) as { code?: unknown };
  return typeof code === 'string' ? code : '';
}

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message.slice(0, 300) : 'unknown');

function parseJson(bytes: Buffer, status: number): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    if (status !== 200) return undefined;
    throw badAnswer('the body is not JSON', cause);
  }
}
