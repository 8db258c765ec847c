/** HTTP of signer/1: who calls, which operation, and every refusal as a problem and as a line of the log. */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { rotate, withdraw } from './admin-operations.ts';
import { type Faults, type SignerFault, spoil } from './faults.ts';
import type { Caller, OperationDeps, SigningRequest } from './operation.ts';
import { describeLog, describeSigner, signInput, signTransaction } from './operations.ts';
import { SignerProblem } from './problem.ts';
import { readJsonBody } from './read-body.ts';
import { decrypt, encrypt, makeMacs, verifyMacs } from './secret-operations.ts';
import { timestamp } from './timestamp-operation.ts';

const MAX_CONCURRENT = 64;
const IDEMPOTENCY_KEY = /^[0-9a-f]{64}$/;

/** What is posted to `/v1/keys/{kid}/…`. */
export const VERBS: Readonly<Record<string, (deps: OperationDeps, request: SigningRequest) => Promise<Buffer>>> = {
  sign: signInput,
  'sign-transaction': signTransaction,
  mac: makeMacs,
  'verify-mac': verifyMacs,
  encrypt,
  decrypt,
  timestamp,
  rotate,
  withdraw,
};

export function createHandler(deps: OperationDeps, callers: readonly Caller[], faults: Faults) {
  const { ring, log } = deps;
  let running = 0;

  async function serve(name: string | undefined, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const caller = callerOf(name, callers);
    if (running >= MAX_CONCURRENT)
      throw new SignerProblem('rate_limited', `more than ${MAX_CONCURRENT} requests at once`);
    running++;
    try {
      await ring.refresh().catch((cause: Error) => log({ event: 'keystore-not-taken', reason: cause.message }));
      await route(deps, faults, caller, request, response);
    } finally {
      running--;
    }
  }

  return (request: IncomingMessage, response: ServerResponse): void => {
    const commonName: unknown = (request.socket as TLSSocket).getPeerCertificate().subject?.CN;
    const name = typeof commonName === 'string' ? commonName : undefined;
    serve(name, request, response).catch((cause: unknown) => {
      const problem =
        cause instanceof SignerProblem ? cause : new SignerProblem('internal', 'see the log of the signer');
      log({
        event: 'refused',
        code: problem.code,
        by: name,
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
  faults: Faults,
  caller: Caller,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? '').split('?', 1)[0]?.split('/').slice(1).map(decodeSegment) ?? [];
  const [version, resource, name, verb, ...rest] = path;
  if (version !== 'v1' || rest.length > 0) throw noSuchResource();
  if (verb !== undefined) {
    const operate = Object.hasOwn(VERBS, verb) ? VERBS[verb] : undefined;
    if (resource !== 'keys' || name === undefined || operate === undefined) throw noSuchResource();
    requireMethod(request, 'POST');
    const struck = faults.strike(verb as SignerFault['at'], name);
    if (struck === 'hang') return;
    const { bytes, value } = await readJsonBody(request);
    const answer = await operate(deps, {
      caller,
      kid: name,
      verb,
      idempotencyKey: readIdempotencyKey(request),
      bytes,
      value,
    });
    if (struck === 'done-but-lost') return void response.destroy();
    const { values } = (value.input ?? {}) as { readonly values?: unknown };
    return send(response, 200, 'application/json', struck === undefined ? answer : spoil(answer, struck, values));
  }
  requireMethod(request, 'GET');
  if (resource === 'info' && name === undefined) return sendJson(request, response, describeSigner(deps.clock));
  if (resource !== 'keys' && resource !== 'log-memory') throw noSuchResource();
  const struck = faults.strike(resource, name);
  if (struck === 'hang') return;
  if (struck === 'done-but-lost') return void response.destroy();
  if (resource === 'log-memory') {
    if (name === undefined) throw noSuchResource();
    return sendJson(request, response, describeLog(deps, name));
  }
  const { ring } = deps;
  sendJson(
    request,
    response,
    name === undefined ? { keys: ring.kids().map((kid) => ring.describe(kid)) } : ring.describe(name),
  );
}

const noSuchResource = (): SignerProblem => new SignerProblem('not_found', 'no such resource');

function callerOf(name: string | undefined, callers: readonly Caller[]): Caller {
  const caller = callers.find((c) => c.name === name);
  if (caller === undefined)
    throw new SignerProblem('client_not_allowed', `${JSON.stringify(name ?? 'nobody')} is not on the list`);
  return caller;
}

function readIdempotencyKey({ headers }: IncomingMessage): string | undefined {
  const key = headers['idempotency-key'];
  return typeof key === 'string' && IDEMPOTENCY_KEY.test(key) ? key : undefined;
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
