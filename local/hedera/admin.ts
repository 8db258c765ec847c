/** The simulator's own HTTP interface: faults, clock, mirrors, and what was called. For people and test scripts; loopback only. */
import { createServer, type Server } from 'node:http';
import type { Fault, Faults } from './faults.ts';
import type { MirrorControl } from './mirror-view.ts';
import type { CallRecord } from './node-server.ts';
import type { SimClock } from './sim-clock.ts';
import type { LedgerState } from './state.ts';
import type { Treasury } from './treasury.ts';

const MAX_BODY_BYTES = 64 * 1_024;

export interface AdminContext {
  readonly clock: SimClock;
  readonly faults: Faults;
  readonly mirrors: readonly MirrorControl[];
  readonly calls: readonly CallRecord[];
  readonly state: LedgerState;
  readonly treasury: Treasury;
  readonly nodes: Readonly<Record<string, string>>;
}

/** Routes: GET /log, GET /state, POST /faults, DELETE /faults, POST /clock, POST /mirror/{i}/{pause|resume|lag}, POST /accounts, POST /topics. */
export async function startAdmin(context: AdminContext, host: string): Promise<Server> {
  const server = createServer(async (request, response) => {
    try {
      let text = '';
      for await (const chunk of request) {
        text += chunk;
        if (text.length > MAX_BODY_BYTES) throw new Error('the body is too large');
      }
      const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
      const answer = act(context, request.method ?? '', (request.url ?? '/').split('/').slice(1), body);
      response.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(answer ?? { error: 'no such route' }));
    } catch (error) {
      response.writeHead(400, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: error instanceof Error ? error.message : 'bad request' }));
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, () => resolve());
  });
  return server;
}

function act(context: AdminContext, method: string, path: readonly string[], body: Record<string, unknown>): unknown {
  const { clock, faults, mirrors, calls, state, treasury, nodes } = context;
  switch (`${method} ${path[0]}`) {
    case 'GET log':
      return calls;
    case 'GET state':
      return {
        nodes,
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
      };
    case 'POST faults':
      faults.arm(body as unknown as Fault);
      return { armed: true };
    case 'DELETE faults':
      faults.clear();
      return { armed: false };
    case 'POST clock':
      clock.advance(Number(body.advanceMs ?? 0));
      return { nowMs: clock.nowMs() };
    case 'POST mirror': {
      const mirror = mirrors[Number(path[1])];
      if (mirror === undefined) return undefined;
      if (path[2] === 'pause') mirror.pausedAtMs = clock.nowMs();
      if (path[2] === 'resume') mirror.pausedAtMs = undefined;
      if (path[2] === 'lag') mirror.lagMs = Number(body.lagMs ?? 0);
      return mirror;
    }
    case 'POST accounts':
      return {
        accountId: treasury.createAccount({
          publicKey: hex(body.publicKey),
          balanceHbar: Number(body.balanceHbar ?? 0),
        }),
      };
    case 'POST topics':
      return {
        topicId: treasury.createTopic(body.submitKey === undefined ? {} : { submitKey: hex(body.submitKey) }),
      };
    default:
      return undefined;
  }
}

function hex(value: unknown): Uint8Array {
  if (typeof value !== 'string' || !/^[0-9a-f]{64}$/.test(value)) throw new Error('a public key is 64 hex digits');
  return Buffer.from(value, 'hex');
}
