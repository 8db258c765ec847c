/** A mirror node's REST interface under `/api/v1`, read-only, over the shared ledger with its own lag. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { explorerPage } from './explorer.ts';
import type { FaultEffect, Faults } from './faults.ts';
import {
  blockJson,
  exchangeRateJson,
  feesJson,
  isVisible,
  keyJson,
  type MirrorContext,
  messageJson,
  newestBlock,
  nodesJson,
  topicJson,
  transactionJson,
} from './mirror-view.ts';
import { nanosToText } from './wire.ts';

const DEFAULT_LIMIT = 25;
const MAX_LIMIT = 100;
const NOT_FOUND = { _status: { messages: [{ message: 'Not found' }] } };

type Answer = { readonly status: number; readonly body: Record<string, unknown> };
const ok = (body: Record<string, unknown>): Answer => ({ status: 200, body });
const notFound: Answer = { status: 404, body: NOT_FOUND };
const badParameter = (name: string): Answer => ({
  status: 400,
  body: { _status: { messages: [{ message: `Invalid parameter: ${name}` }] } },
});

/** Binds `host:port` (port 0: any); resolves to the server, whose address tells the port. */
export async function startMirrorRest(
  context: MirrorContext,
  faults: Faults,
  instance: number,
  host: string,
  port: number,
): Promise<Server> {
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', `http://${host}`);
    const explored = explorerPage(context, url.pathname);
    if (explored !== undefined) {
      response.writeHead(explored.found ? 200 : 404, { 'content-type': 'text/html; charset=utf-8' });
      response.end(explored.html);
      return;
    }
    const effect = faults.take('mirrorRest', { node: String(instance), type: url.pathname.split('/')[3] ?? '' });
    if (effect !== undefined && 'drop' in effect) return;
    const send = (): void => sendAnswer(response, corrupt(route(context, request, url), effect));
    if (effect !== undefined && 'delayMs' in effect) setTimeout(send, effect.delayMs).unref();
    else if (effect !== undefined && 'http' in effect)
      sendAnswer(response, { status: effect.http, body: { _status: { messages: [{ message: 'injected' }] } } });
    else send();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve());
  });
  return server;
}

function sendAnswer(response: ServerResponse, { status, body }: Answer): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', 'access-control-allow-origin': '*' });
  response.end(JSON.stringify(body));
}

function route(context: MirrorContext, request: IncomingMessage, url: URL): Answer {
  const [api, version, ...path] = url.pathname.split('/').slice(1).map(decodeURIComponent);
  if (api !== 'api' || version !== 'v1') return notFound;
  if (request.method !== 'GET' && !(request.method === 'POST' && url.pathname.endsWith('/network/fees')))
    return notFound;
  const { state } = context;
  const [resource, id, sub, key] = path;
  switch (resource) {
    case 'topics': {
      if (id === 'messages') return messageByTime(context, sub ?? '');
      const topic = state.topics.get(id ?? '');
      if (topic === undefined || !isVisible(context, { handledAtMs: topic.createdAtMs })) return notFound;
      if (sub === undefined) return ok(topicJson(topic));
      if (sub !== 'messages') return notFound;
      if (key === undefined) return listMessages(context, topic.id, url);
      const row = /^[1-9][0-9]{0,15}$/.test(key) ? topic.messages[Number(key) - 1] : undefined;
      return row !== undefined && isVisible(context, row) ? ok(messageJson(row)) : notFound;
    }
    case 'transactions':
      return id === undefined ? listTransactions(context, url) : transactionById(context, id, url);
    case 'blocks':
      return id === undefined ? listBlocks(context, url) : blockByNumber(context, id);
    case 'accounts': {
      const account = state.accounts.get(id ?? '');
      if (account === undefined) return notFound;
      const balance = {
        balance: Number(account.balanceTinybars),
        timestamp: nanosToText(context.clock.nowNanos()),
        tokens: [],
      };
      return ok({ account: account.id, balance, deleted: false, key: keyJson(account.key), memo: '' });
    }
    case 'balances': {
      const account = state.accounts.get(url.searchParams.get('account.id') ?? '');
      const balances =
        account === undefined ? [] : [{ account: account.id, balance: Number(account.balanceTinybars), tokens: [] }];
      return ok({ balances, links: { next: null }, timestamp: nanosToText(context.clock.nowNanos()) });
    }
    case 'network':
      if (id === 'nodes') return ok({ nodes: nodesJson(context), links: { next: null } });
      if (id === 'exchangerate') return ok(exchangeRateJson());
      return id === 'fees' ? ok(feesJson()) : notFound;
    default:
      return notFound;
  }
}

function messageByTime(context: MirrorContext, timestamp: string): Answer {
  for (const topic of context.state.topics.values()) {
    const row = topic.messages.find((message) => nanosToText(message.consensusNanos) === timestamp);
    if (row !== undefined && isVisible(context, row)) return ok(messageJson(row));
  }
  return notFound;
}

function transactionById(context: MirrorContext, mirrorId: string, url: URL): Answer {
  const match = /^(\d+\.\d+\.\d+)-(\d+)-(\d{9})$/.exec(mirrorId);
  if (match === null) return badParameter('transactionId');
  const nonce = url.searchParams.get('nonce');
  const rows = (context.state.byId.get(`${match[1]}@${match[2]}.${match[3]}`) ?? []).filter((row) =>
    isVisible(context, row),
  );
  return rows.length === 0 || (nonce !== null && nonce !== '0')
    ? notFound
    : ok({ transactions: rows.map(transactionJson) });
}

interface Page {
  readonly limit: number;
  readonly isDescending: boolean;
}

function readPage(url: URL, defaultOrder: 'asc' | 'desc'): Page | undefined {
  const limit = url.searchParams.get('limit') ?? String(DEFAULT_LIMIT);
  const order = url.searchParams.get('order') ?? defaultOrder;
  if (!/^[1-9][0-9]{0,8}$/.test(limit) || (order !== 'asc' && order !== 'desc')) return undefined;
  return { limit: Math.min(Number(limit), MAX_LIMIT), isDescending: order === 'desc' };
}

/** Whether `value` passes every `name=op:bound` of the query; `undefined` if one is malformed. */
function readRange(
  url: URL,
  name: string,
  parse: (text: string) => bigint | undefined,
): ((value: bigint) => boolean) | undefined {
  const tests: ((value: bigint) => boolean)[] = [];
  for (const text of url.searchParams.getAll(name)) {
    const [op, bound] = text.includes(':') ? (text.split(':', 2) as [string, string]) : ['eq', text];
    const limit = parse(bound);
    if (limit === undefined) return undefined;
    const compare: Record<string, (value: bigint) => boolean> = {
      eq: (value) => value === limit,
      gt: (value) => value > limit,
      gte: (value) => value >= limit,
      lt: (value) => value < limit,
      lte: (value) => value <= limit,
    };
    const test = Object.hasOwn(compare, op) ? compare[op] : undefined;
    if (test === undefined) return undefined;
    tests.push(test);
  }
  return (value) => tests.every((test) => test(value));
}

const parseInteger = (text: string): bigint | undefined => (/^[0-9]{1,18}$/.test(text) ? BigInt(text) : undefined);

function parseTimestamp(text: string): bigint | undefined {
  const match = /^([0-9]{1,10})(?:\.([0-9]{1,9}))?$/.exec(text);
  return match === null ? undefined : BigInt(match[1] ?? 0) * 1_000_000_000n + BigInt((match[2] ?? '').padEnd(9, '0'));
}

function listMessages(context: MirrorContext, topicId: string, url: URL): Answer {
  const page = readPage(url, 'asc');
  const inSequence = readRange(url, 'sequencenumber', parseInteger);
  const inTime = readRange(url, 'timestamp', parseTimestamp);
  if (page === undefined) return badParameter('limit');
  if (inSequence === undefined) return badParameter('sequencenumber');
  if (inTime === undefined) return badParameter('timestamp');
  const rows = (context.state.topics.get(topicId)?.messages ?? []).filter(
    (row) => isVisible(context, row) && inSequence(row.sequenceNumber) && inTime(row.consensusNanos),
  );
  const shown = cut(rows, page);
  const last = shown.at(-1);
  const next =
    last === undefined || shown.length === rows.length
      ? null
      : `${url.pathname}?limit=${page.limit}&order=${page.isDescending ? 'desc' : 'asc'}&sequencenumber=${page.isDescending ? 'lt' : 'gt'}:${last.sequenceNumber}`;
  return ok({ links: { next }, messages: shown.map(messageJson) });
}

function listTransactions(context: MirrorContext, url: URL): Answer {
  const page = readPage(url, 'desc');
  const inTime = readRange(url, 'timestamp', parseTimestamp);
  if (page === undefined) return badParameter('limit');
  if (inTime === undefined) return badParameter('timestamp');
  const account = url.searchParams.get('account.id');
  const rows = context.state.transactions.filter(
    (row) => isVisible(context, row) && inTime(row.consensusNanos) && (account === null || row.payer === account),
  );
  const shown = cut(rows, page);
  const last = shown.at(-1);
  const next =
    last === undefined || shown.length === rows.length
      ? null
      : `${url.pathname}?limit=${page.limit}&order=${page.isDescending ? 'desc' : 'asc'}&timestamp=${page.isDescending ? 'lt' : 'gt'}:${nanosToText(last.consensusNanos)}`;
  return ok({ links: { next }, transactions: shown.map(transactionJson) });
}

function cut<T>(rows: readonly T[], page: Page): T[] {
  return (page.isDescending ? rows.toReversed() : rows).slice(0, page.limit);
}

function listBlocks(context: MirrorContext, url: URL): Answer {
  const page = readPage(url, 'desc');
  if (page === undefined) return badParameter('limit');
  const newest = newestBlock(context);
  const count = Math.min(page.limit, newest + 1);
  const numbers = Array.from({ length: Math.max(0, count) }, (_, i) => (page.isDescending ? newest - i : i));
  return ok({ blocks: numbers.map((number) => blockJson(context, number)), links: { next: null } });
}

function blockByNumber(context: MirrorContext, text: string): Answer {
  const number = /^[0-9]{1,12}$/.test(text) ? Number(text) : -1;
  return number < 0 || number > newestBlock(context) ? notFound : ok(blockJson(context, number));
}

/** A lying mirror: one member of every message in the answer is another. */
function corrupt(answer: Answer, effect: FaultEffect | undefined): Answer {
  if (effect === undefined || !('corrupt' in effect) || answer.status !== 200) return answer;
  const lie = (row: Record<string, unknown>): Record<string, unknown> => {
    switch (effect.corrupt) {
      case 'message':
        return { ...row, message: Buffer.from('pl1|lie').toString('base64') };
      case 'runningHash':
        return { ...row, running_hash: Buffer.alloc(48, 7).toString('base64') };
      case 'sequence':
        return { ...row, sequence_number: Number(row.sequence_number) + 1 };
      case 'timestamp':
        return { ...row, consensus_timestamp: '1.000000001' };
      case 'payer':
        return { ...row, payer_account_id: '0.0.666' };
    }
  };
  const { messages } = answer.body;
  if (Array.isArray(messages)) return ok({ ...answer.body, messages: messages.map(lie) });
  return 'running_hash' in answer.body ? ok(lie(answer.body)) : answer;
}
