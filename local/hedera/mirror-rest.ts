/** A mirror node's REST interface under `/api/v1`, over the shared ledger with its own lag, and the pages of an explorer. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { explorerPage } from './explorer.ts';
import type { Corruption, FaultEffect, Faults } from './faults.ts';
import type { MirrorContext } from './mirror-context.ts';
import { type Answer, notFound, ok, problem } from './mirror-query.ts';
import { answerRoute } from './mirror-routes.ts';
import type { CallRecord } from './node-server.ts';

const MAX_BODY_BYTES = 64 * 1_024;

export interface MirrorRestOptions {
  readonly context: MirrorContext;
  readonly faults: Faults;
  /** 0 is the first. */
  readonly instance: number;
  readonly host: string;
  /** 0: any. */
  readonly port: number;
  readonly record: (call: CallRecord) => void;
  /** Takes this mirror's REST interface off its port at once. */
  readonly die: () => void;
}

/** Resolves to the server, whose address tells the port. */
export async function startMirrorRest(options: MirrorRestOptions): Promise<Server> {
  const server = createServer((request, response) => {
    answer(options, request, response).catch((error: unknown) => {
      if (!response.headersSent) send(response, problem(500, error instanceof Error ? error.message : 'unknown'));
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, () => resolve());
  });
  return server;
}

async function answer(
  { context, faults, instance, host, record, die }: MirrorRestOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? '/', `http://${host}`);
  const explored = explorerPage(context, url.pathname);
  if (explored !== undefined) {
    response.writeHead(explored.found ? 200 : 404, { 'content-type': 'text/html; charset=utf-8' });
    response.end(explored.html);
    return;
  }
  const body = await readBody(request);
  const effect = faults.take('mirrorRest', { node: String(instance), type: url.pathname.split('/')[3] ?? '' });
  const note = (outcome: string): void =>
    record({
      node: `mirror-${instance}`,
      method: `${request.method} ${url.pathname}`,
      transactionId: '',
      outcome: effect === undefined ? outcome : `${outcome} (fault ${JSON.stringify(effect)})`.trim(),
    });
  if (effect !== undefined && ('drop' in effect || 'kill' in effect)) {
    note('');
    if ('kill' in effect) die();
    return;
  }
  const reply = (): void => {
    const answered = corrupt(route(context, request.method ?? '', url, body), effect);
    const said = effect !== undefined && 'http' in effect ? problem(effect.http, 'injected') : answered;
    note(String(said.status));
    send(response, said);
  };
  if (effect !== undefined && 'delayMs' in effect) setTimeout(reply, effect.delayMs).unref();
  else reply();
}

async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new Error('the body is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function route(context: MirrorContext, method: string, url: URL, body: Uint8Array): Answer {
  const PREFIX = '/api/v1/';
  if (!url.pathname.startsWith(PREFIX)) return problem(404, 'Not found');
  try {
    const path = decodeURIComponent(url.pathname.slice(PREFIX.length)).replace(/\/$/, '');
    return answerRoute(method, path, { context, url, body });
  } catch (error) {
    if (error instanceof URIError) return problem(400, 'Invalid path');
    throw error;
  }
}

function send(response: ServerResponse, { status, body }: Answer): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', 'access-control-allow-origin': '*' });
  response.end(JSON.stringify(body));
}

/** A lying mirror: one member of every message in the answer is another, or the first message is left out; of a contract's call, what was called. */
function corrupt(answered: Answer, effect: FaultEffect | undefined): Answer {
  if (effect === undefined || !('corrupt' in effect) || answered.status !== 200) return answered;
  const { corrupt: how } = effect;
  const { messages } = answered.body;
  if (Array.isArray(messages)) {
    const shown = how === 'gap' ? messages.slice(1) : messages.map((row) => ({ ...row, ...lie(how, row) }));
    return ok({ ...answered.body, messages: shown });
  }
  if (how === 'message' && 'function_parameters' in answered.body)
    return ok({ ...answered.body, function_parameters: '0x00000000' });
  if (!('running_hash' in answered.body)) return answered;
  return how === 'gap' ? notFound : ok({ ...answered.body, ...lie(how, answered.body) });
}

function lie(how: Corruption, row: Record<string, unknown>): Record<string, unknown> {
  switch (how) {
    case 'message':
      return { message: Buffer.from('pl1|lie').toString('base64') };
    case 'runningHash':
      return { running_hash: Buffer.alloc(48, 7).toString('base64') };
    case 'sequence':
      return { sequence_number: Number(row.sequence_number) + 1 };
    case 'timestamp':
      return { consensus_timestamp: '1.000000001' };
    case 'payer':
      return { payer_account_id: '0.0.666' };
    case 'gap':
      return {};
  }
}
