/** The simulator's own HTTP interface: faults, clock, nodes, mirrors, and what was called. For people and test scripts; loopback only. */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type Faults, parseFault } from './faults.ts';
import type { Ledger } from './ledger.ts';
import type { MirrorControl } from './mirror-context.ts';
import type { CallRecord } from './node-server.ts';
import type { MirrorAddress } from './running-mirrors.ts';
import type { SimClock } from './sim-clock.ts';
import type { Treasury } from './treasury.ts';

const MAX_BODY_BYTES = 64 * 1_024;

/** What the interface acts on: a running network. */
export interface AdminContext {
  readonly nodes: Readonly<Record<string, string>>;
  readonly tlsNodes: Readonly<Record<string, string>>;
  readonly mirrorRestUrls: readonly string[];
  readonly mirrorGrpcAddresses: readonly string[];
  readonly clock: SimClock;
  readonly faults: Faults;
  readonly mirrors: readonly MirrorControl[];
  readonly calls: readonly CallRecord[];
  readonly ledger: Ledger;
  readonly treasury: Treasury;
  areBalancesBusy: boolean;
  stopNode(node: string): void;
  startNode(node: string): Promise<void>;
  renameNode(from: string, to: string): void;
  moveNode(node: string): Promise<string>;
  stopMirror(instance: number): Promise<void>;
  startMirror(instance: number): Promise<void>;
  tick(): Promise<void>;
  reset(): void;
}

type Body = Readonly<Record<string, unknown>>;
type Route = readonly [
  method: string,
  path: RegExp,
  act: (context: AdminContext, match: readonly string[], body: Body) => unknown,
];

const ROUTES: readonly Route[] = [
  ['GET', /^\/log$/, ({ calls }) => calls],
  ['GET', /^\/state$/, (context) => describeState(context)],
  ['POST', /^\/faults$/, ({ faults }, _, body) => armed(faults, () => faults.arm(parseFault(body)))],
  ['DELETE', /^\/faults$/, ({ faults }) => armed(faults, () => faults.clear())],
  ['POST', /^\/clock$/, ({ clock }, _, body) => moveClock(clock, body)],
  [
    'POST',
    /^\/tick$/,
    async (context) => {
      await context.tick();
      return describeState(context);
    },
  ],
  ['POST', /^\/mirror\/(\d)\/(pause|resume|lag|stop|start)$/, actOnMirror],
  ['POST', /^\/nodes\/([\d.]+)\/(stop|start|move|rename)$/, actOnNode],
  [
    'POST',
    /^\/balances$/,
    (context, _, { busy }) => {
      if (typeof busy !== 'boolean') throw new Error('busy is true or false');
      context.areBalancesBusy = busy;
      return { busy };
    },
  ],
  [
    'POST',
    /^\/accounts$/,
    ({ treasury }, _, { publicKey, balanceHbar = 0 }) => {
      const balance = number(balanceHbar, 'balanceHbar');
      return { accountId: treasury.createAccount({ publicKey: hexKey(publicKey), balanceHbar: balance }) };
    },
  ],
  [
    'POST',
    /^\/topics$/,
    ({ treasury }, _, { submitKey, memo = '' }) => {
      if (typeof memo !== 'string') throw new Error('memo is text');
      const key = submitKey === undefined ? {} : { submitKey: hexKey(submitKey) };
      return { topicId: treasury.createTopic({ ...key, memo }) };
    },
  ],
  [
    'POST',
    /^\/reset$/,
    (context) => {
      context.reset();
      return describeState(context);
    },
  ],
];

export async function startAdmin(context: AdminContext, { host, port }: MirrorAddress): Promise<Server> {
  const server = createServer((request, response) => {
    const reply = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    };
    act(context, request).then(
      (answer) => (answer === undefined ? reply(404, { error: 'no such route' }) : reply(200, answer)),
      (error: unknown) => reply(400, { error: error instanceof Error ? error.message : 'bad request' }),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve());
  });
  return server;
}

async function act(context: AdminContext, request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request) {
    text += chunk;
    if (text.length > MAX_BODY_BYTES) throw new Error('the body is too large');
  }
  const body: unknown = text === '' ? {} : JSON.parse(text);
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new Error('the body is an object');
  for (const [method, path, answer] of ROUTES) {
    const match = method === request.method ? path.exec(request.url ?? '/') : null;
    if (match !== null) return answer(context, match.slice(1), body as Body);
  }
  return undefined;
}

function describeState(context: AdminContext): Record<string, unknown> {
  const { state } = context.ledger;
  return {
    nodes: context.nodes,
    tlsNodes: context.tlsNodes,
    mirrors: context.mirrors.map(({ lagMs, pausedAtMs }, i) => ({
      rest: context.mirrorRestUrls[i],
      grpc: context.mirrorGrpcAddresses[i],
      lagMs,
      pausedAtMs: pausedAtMs ?? null,
    })),
    clock: { mode: context.clock.mode, nowMs: context.clock.nowMs() },
    faults: context.faults.count(),
    balancesBusy: context.areBalancesBusy,
    accounts: [...state.accounts.values()].map(({ id, balanceTinybars }) => ({
      id,
      balanceTinybars: balanceTinybars.toString(),
    })),
    topics: [...state.topics.values()].map(({ id, messages, isDeleted }) => ({
      id,
      messages: messages.length,
      isDeleted,
    })),
    transactions: state.transactions.length,
    pending: context.ledger.pendingCount(),
  };
}

function armed(faults: Faults, change: () => void): { armed: number } {
  change();
  return { armed: faults.count() };
}

function moveClock(clock: SimClock, { mode, advanceMs = 0 }: Body): Record<string, unknown> {
  if (mode !== undefined && mode !== 'manual' && mode !== 'wall') throw new Error('mode is manual or wall');
  const ms = number(advanceMs, 'advanceMs');
  if (mode === 'manual') clock.hold();
  if (mode === 'wall') clock.release();
  if (ms !== 0) clock.advance(ms);
  return { mode: clock.mode, nowMs: clock.nowMs() };
}

async function actOnMirror(context: AdminContext, [index, verb]: readonly string[], body: Body): Promise<unknown> {
  const mirror = context.mirrors[Number(index)];
  if (mirror === undefined) return undefined;
  if (verb === 'pause') mirror.pausedAtMs = context.clock.nowMs();
  if (verb === 'resume') mirror.pausedAtMs = undefined;
  if (verb === 'lag') mirror.lagMs = number(body.lagMs, 'lagMs');
  if (verb === 'stop') await context.stopMirror(Number(index));
  if (verb === 'start') await context.startMirror(Number(index));
  return { lagMs: mirror.lagMs, pausedAtMs: mirror.pausedAtMs ?? null };
}

async function actOnNode(context: AdminContext, [node = '', verb]: readonly string[], body: Body): Promise<unknown> {
  if (verb === 'stop') context.stopNode(node);
  if (verb === 'start') await context.startNode(node);
  if (verb === 'move') await context.moveNode(node);
  if (verb === 'rename') {
    if (typeof body.to !== 'string' || !/^0\.0\.[1-9]\d{0,3}$/.test(body.to)) throw new Error('to is a node account');
    context.renameNode(node, body.to);
  }
  return { nodes: context.nodes, tlsNodes: context.tlsNodes };
}

function number(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new Error(`${name} is a number`);
  return value;
}

function hexKey(value: unknown): Uint8Array {
  if (typeof value !== 'string' || !/^(?:[0-9a-f]{64}|0[23][0-9a-f]{64})$/.test(value))
    throw new Error('a public key is 64 hex digits (Ed25519), or 66 (ECDSA, compressed)');
  return Buffer.from(value, 'hex');
}
