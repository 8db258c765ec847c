/**
 * The development signer: signer/1 over TLS 1.3 with client certificates, software keys encrypted at rest. The same
 * protocol as a production signer, other keys: it marks itself `dev` and refuses to start in production.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../domain/clock.ts';
import { clientName, ensureLocalKeys, type LocalKeys, readPair } from '../keys/ensure-local-keys.ts';
import { ensureSignerKeys, type KeySpec, keystoreDir, readPassphrase } from './ensure-signer-keys.ts';
import { createFaults, type SignerFault, spoilLast } from './faults.ts';
import { openKeyRing } from './key-ring.ts';
import { openLogMemory } from './log-memory.ts';
import {
  type Caller,
  describeLog,
  describeSigner,
  type OperationDeps,
  signInput,
  signTransaction,
} from './operations.ts';
import { SignerProblem } from './problem.ts';
import { readJsonBody } from './read-body.ts';
import { createReplayStore } from './replay-store.ts';

/** Who may call: the common name in a certificate below the transport root, and what it may use. */
export const DEFAULT_CALLERS: readonly Caller[] = [
  { name: clientName('worker'), purposes: ['seal', 'log-checkpoint', 'certificate', 'pdf', 'tx-hedera'] },
  { name: clientName('tsa'), purposes: ['tsa'] },
];

export interface SignerOptions {
  /** Folder of the local keys; made at first start. */
  readonly dir: string;
  readonly clock: Clock;
  /** 0 lets the system choose. */
  readonly port?: number;
  readonly host?: string;
  readonly callers?: readonly Caller[];
  /** Keys by kid beside the default ones, made at first start. */
  readonly moreKeys?: Readonly<Record<string, KeySpec>>;
  /** `process.env.NODE_ENV`; `production` is refused unless `allowProduction`. */
  readonly environment?: string | undefined;
  readonly allowProduction?: boolean;
  /** One event per refusal and failure; no secrets, no values. */
  readonly log?: (event: Readonly<Record<string, unknown>>) => void;
}

export interface RunningSigner {
  readonly url: string;
  readonly keys: LocalKeys;
  /** The file of the transaction policy, see `writeTransactionPolicy`. */
  readonly policyFile: string;
  /** Replaces the faults that strike from now on. */
  setFaults(faults: readonly SignerFault[]): void;
  stop(): Promise<void>;
}

export const policyFileOf = (keys: LocalKeys): string => join(keys.signerDir, 'policy.json');

const MAX_CONCURRENT = 64;
const IDEMPOTENCY_KEY = /^[0-9a-f]{64}$/;

/** Starts the signer; it answers when the promise resolves. Throws when a key file does not open. */
export async function startSigner(options: SignerOptions): Promise<RunningSigner> {
  if (options.environment === 'production' && options.allowProduction !== true) {
    throw new Error('the development signer does not start with NODE_ENV=production');
  }
  const { clock, host = '127.0.0.1', port = 0, callers = DEFAULT_CALLERS, log = () => undefined } = options;
  const keys = await ensureLocalKeys(options.dir, clock);
  await ensureSignerKeys(keys, clock, options.moreKeys);
  const policyFile = policyFileOf(keys);
  const deps: OperationDeps = {
    ring: await openKeyRing(keystoreDir(keys), await readPassphrase(keys), clock),
    memory: await openLogMemory(join(keys.signerDir, 'log-memory.json')),
    replay: createReplayStore(clock),
    policyFile,
    clock,
  };
  const faults = createFaults();
  const tls = await readPair(keys.signerServer);
  const server = createServer(
    {
      ...tls,
      ca: await readFile(keys.transportCaFile),
      minVersion: 'TLSv1.3',
      requestCert: true,
      rejectUnauthorized: true,
      maxHeaderSize: 8_192,
      requestTimeout: 30_000,
      headersTimeout: 10_000,
      keepAliveTimeout: 60_000,
    },
    createHandler(deps, callers, faults, log),
  );
  server.on('tlsClientError', (error) => log({ event: 'tls-refused', reason: error.message.slice(0, 200) }));
  await listen(server, port, host);
  const bound = (server.address() as AddressInfo).port;
  return {
    url: `https://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    keys,
    policyFile,
    setFaults: faults.set,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        // Requests in flight get a moment; a hanging one does not keep the process.
        setTimeout(() => server.closeAllConnections(), 500).unref();
        server.closeIdleConnections();
      }),
  };
}

type Log = (event: Readonly<Record<string, unknown>>) => void;

function createHandler(
  deps: OperationDeps,
  callers: readonly Caller[],
  faults: ReturnType<typeof createFaults>,
  log: Log,
) {
  let running = 0;
  return (request: IncomingMessage, response: ServerResponse): void => {
    const run = async (): Promise<void> => {
      const caller = callerOf(request, callers);
      if (running >= MAX_CONCURRENT)
        throw new SignerProblem('rate_limited', `more than ${MAX_CONCURRENT} requests at once`);
      running++;
      try {
        await deps.ring.refresh().catch((cause: Error) => log({ event: 'keystore-not-taken', reason: cause.message }));
        await route(deps, faults, caller, request, response);
      } finally {
        running--;
      }
    };
    run().catch((cause: unknown) => {
      const problem =
        cause instanceof SignerProblem ? cause : new SignerProblem('internal', 'see the log of the signer');
      log({
        event: 'refused',
        code: problem.code,
        method: request.method,
        url: request.url?.slice(0, 200),
        detail: cause instanceof Error ? cause.message : 'unknown',
      });
      if (response.headersSent) return void response.destroy();
      if (problem.status === 429 || problem.status === 503) response.setHeader('retry-after', '1');
      // A body not read to its end would be taken for the next request.
      if (!request.complete) response.setHeader('connection', 'close');
      send(response, problem.status, 'application/problem+json', Buffer.from(problem.toBody()));
    });
  };
}

async function route(
  deps: OperationDeps,
  faults: ReturnType<typeof createFaults>,
  caller: Caller,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? '').split('?', 1)[0]?.split('/').slice(1).map(decodeSegment) ?? [];
  const [version, resource, name, verb, ...rest] = path;
  if (version !== 'v1' || rest.length > 0) throw new SignerProblem('not_found', 'no such resource');
  if (verb === 'sign' || verb === 'sign-transaction') {
    if (resource !== 'keys' || name === undefined) throw new SignerProblem('not_found', 'no such resource');
    requireMethod(request, 'POST');
    const struck = faults.strike(verb, name);
    if (struck === 'hang') return;
    const { bytes, value } = await readJsonBody(request);
    const idempotencyKey = request.headers['idempotency-key'];
    if (typeof idempotencyKey !== 'string' || !IDEMPOTENCY_KEY.test(idempotencyKey))
      throw new SignerProblem('request_malformed', 'Idempotency-Key is 64 lower-case hex digits');
    const signing = { caller, kid: name, idempotencyKey, bytes, value };
    const answer = await (verb === 'sign' ? signInput(deps, signing) : signTransaction(deps, signing));
    if (struck === 'done-but-lost') return void response.destroy();
    return send(response, 200, 'application/json', struck === 'wrong-signature' ? spoilLast(answer) : answer);
  }
  if (verb !== undefined) throw new SignerProblem('not_found', 'no such resource');
  requireMethod(request, 'GET');
  if (resource === 'info' && name === undefined) return sendJson(request, response, describeSigner(deps.clock));
  if (resource !== 'keys' && resource !== 'log-memory') throw new SignerProblem('not_found', 'no such resource');
  const struck = faults.strike(resource, name);
  if (struck === 'hang') return;
  if (struck === 'done-but-lost') return void response.destroy();
  if (resource === 'log-memory') {
    if (name === undefined) throw new SignerProblem('not_found', 'no such resource');
    return sendJson(request, response, describeLog(deps, name));
  }
  sendJson(
    request,
    response,
    name === undefined ? { keys: deps.ring.kids().map((kid) => deps.ring.describe(kid)) } : deps.ring.describe(name),
  );
}

function callerOf(request: IncomingMessage, callers: readonly Caller[]): Caller {
  const name = (request.socket as TLSSocket).getPeerCertificate().subject?.CN;
  const caller = callers.find((c) => c.name === name);
  if (caller === undefined)
    throw new SignerProblem('client_not_allowed', `${JSON.stringify(name ?? 'nobody')} is not on the list`);
  return caller;
}

function requireMethod(request: IncomingMessage, method: 'GET' | 'POST'): void {
  if (request.method !== method) throw new SignerProblem('method_not_allowed', `expected ${method}`);
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new SignerProblem('request_malformed', 'the path is not well-formed');
  }
}

function sendJson(request: IncomingMessage, response: ServerResponse, body: Readonly<Record<string, unknown>>): void {
  const bytes = Buffer.from(JSON.stringify(body));
  const etag = `"${createHash('sha256').update(bytes).digest('base64url')}"`;
  response.setHeader('etag', etag);
  if (request.headers['if-none-match'] === etag) return void response.writeHead(304).end();
  send(response, 200, 'application/json', bytes);
}

function send(response: ServerResponse, status: number, type: string, body: Buffer): void {
  response.writeHead(status, { 'content-type': type, 'content-length': body.length, 'cache-control': 'no-store' });
  response.end(body);
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
