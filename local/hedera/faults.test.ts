import {
  AccountId,
  Client,
  PrivateKey,
  Timestamp,
  TopicMessageQuery,
  TopicMessageSubmitTransaction,
  TransactionId,
  TransactionReceiptQuery,
} from '@hashgraph/sdk';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createRawClient, type RawClient, signedMessage } from './raw-client.ts';
import { type HederaSim, startHederaSim } from './start-hedera-sim.ts';

let sim: HederaSim;
let client: Client;
let raw: RawClient;
let topic: string;

beforeAll(async () => {
  sim = await startHederaSim({ consensusDelayMs: 1, mirrorLagMs: 0 });
  client = Client.forNetwork({ ...sim.nodes }, { scheduleNetworkUpdate: false });
  client.setOperator(sim.operatorId, await PrivateKey.fromPem(sim.operatorKey)).setMirrorNetwork([sim.mirrorGrpc]);
  client.setMinBackoff(5).setMaxBackoff(50).setNodeMinBackoff(5).setNodeMaxBackoff(20).setGrpcDeadline(400);
  client.setRequestTimeout(5_000);
  topic = sim.treasury.createTopic({});
});

beforeEach(() => {
  raw = createRawClient(Object.keys(sim.nodes)[0] ?? '');
});

afterEach(async () => {
  raw.close();
  await admin('DELETE', 'faults');
  for (const node of Object.values(sim.nodes)) await sim.startNode(node);
  for (const i of [0, 1]) await sim.startMirror(i);
  for (const control of sim.mirrors) Object.assign(control, { lagMs: 0, pausedAtMs: undefined });
});

afterAll(async () => {
  client.close();
  await sim.stop();
});

async function admin(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }> {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  const response = await fetch(`${sim.adminUrl}/${path}`, init);
  return { status: response.status, body: await response.json() };
}

const arm = (fault: Record<string, unknown>) => admin('POST', 'faults', fault);
const messages = (): number => sim.ledger.state.topics.get(topic)?.messages.length ?? 0;

/** A frozen message for one node, sent as often as told. */
function message(nodes: readonly string[] = ['0.0.3', '0.0.4', '0.0.5']): TopicMessageSubmitTransaction {
  return new TopicMessageSubmitTransaction()
    .setTopicId(topic)
    .setMessage('m')
    .setTransactionId(
      TransactionId.withValidStart(
        AccountId.fromString(sim.operatorId),
        Timestamp.fromDate(new Date(sim.clock.nowMs() - 4_000)).plusNanos(Math.floor(Math.random() * 900_000)),
      ),
    )
    .setNodeAccountIds(nodes.map((node) => AccountId.fromString(node)))
    .setRegenerateTransactionId(false)
    .freezeWith(client);
}

const receiptOf = async (id: TransactionId): Promise<string> => {
  const query = new TransactionReceiptQuery().setTransactionId(id).setValidateStatus(false);
  return (await query.execute(client)).status.toString();
};
const failureOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => String(error),
  );

describe('at a node', () => {
  it('an answer lost after the work leaves one message, and the retry elsewhere a duplicate', async () => {
    const before = messages();
    await arm({ op: 'ingest', effect: { grpc: 14, when: 'after' } });
    const transaction = message();
    await failureOf(transaction.execute(client));
    expect(await receiptOf(transaction.transactionId as TransactionId)).toBe('SUCCESS');
    expect(messages()).toBe(before + 1);
  });

  it('a refusal before the work is passed over by the SDK’s own retry', async () => {
    await arm({ op: 'ingest', effect: { grpc: 14, when: 'before' }, times: 2 });
    const { transactionId } = await message().execute(client);
    expect(await receiptOf(transactionId)).toBe('SUCCESS');
  });

  it('the nth call alone can be meant', async () => {
    await arm({ op: 'ingest', match: { node: '0.0.3', type: 'submitMessage', nth: 3 }, effect: { precheck: 'BUSY' } });
    const answers: string[] = [];
    for (let i = 0; i < 4; i++) answers.push(await raw.submit(signedMessage(sim, { topic })));
    expect(answers).toEqual(['OK', 'OK', 'BUSY', 'OK']);
  });

  it('no answer at all is ended by the caller’s deadline', async () => {
    await arm({ op: 'ingest', match: { node: '0.0.3' }, effect: { drop: true } });
    const { transactionId } = await message(['0.0.3', '0.0.4'])
      .execute(client)
      .catch(() => ({ transactionId: null }));
    expect(transactionId === null || (await receiptOf(transactionId)) === 'SUCCESS').toBe(true);
  });

  it.each([
    ['before', 0],
    ['after', 1],
  ])('a death %s the work closes its port until it is started again', async (when, handled) => {
    const before = messages();
    await arm({ op: 'ingest', match: { node: '0.0.3' }, effect: { kill: true, when } });
    expect(await failureOf(raw.submit(signedMessage(sim, { topic })))).toMatch(/CANCELLED|UNAVAILABLE|INTERNAL/);
    expect(await failureOf(raw.submit(signedMessage(sim, { topic })))).toMatch(/UNAVAILABLE|DEADLINE/);
    await admin('POST', 'nodes/0.0.3/start');
    const again = createRawClient(Object.keys(sim.nodes)[0] ?? '');
    expect(await again.submit(signedMessage(sim, { topic }))).toBe('OK');
    again.close();
    while (messages() < before + handled + 1) await new Promise((resolve) => setImmediate(resolve));
    expect(messages()).toBe(before + handled + 1);
  });

  it('a receipt can say what consensus did not', async () => {
    const { transactionId } = await message().execute(client);
    await arm({ op: 'receipt', effect: { status: 'THROTTLED_AT_CONSENSUS' } });
    expect(await receiptOf(transactionId)).toBe('THROTTLED_AT_CONSENSUS');
    expect(await receiptOf(transactionId)).toBe('SUCCESS');
  });

  it('consensus can end a transaction as it is told to, or lose it', async () => {
    await arm({ op: 'consensus', match: { topic }, effect: { status: 'THROTTLED_AT_CONSENSUS' } });
    expect(await receiptOf((await message().execute(client)).transactionId)).toBe('THROTTLED_AT_CONSENSUS');
    await arm({ op: 'consensus', match: { payer: sim.operatorId }, effect: { drop: true } });
    const { transactionId } = await message(['0.0.3']).execute(client);
    while (sim.faults.count() > 0) await new Promise((resolve) => setImmediate(resolve));
    expect(sim.ledger.receipt('0.0.3', transactionId.toString()).kind).toBe('pending');
  });
});

describe('a changed address book', () => {
  it('makes a client’s own list wrong until it refreshes', async () => {
    const own = Client.forNetwork({ ...sim.nodes }, { scheduleNetworkUpdate: false });
    own.setOperator(sim.operatorId, await PrivateKey.fromPem(sim.operatorKey)).setMirrorNetwork([sim.mirrorGrpc]);
    own.setMinBackoff(5).setMaxBackoff(20).setNodeMinBackoff(5).setNodeMaxBackoff(20).setMaxAttempts(3);
    try {
      await admin('POST', 'nodes/0.0.3/rename', { to: '0.0.9' });
      expect(await raw.submit(signedMessage(sim, { topic, node: '0.0.3' }))).toBe('INVALID_NODE_ACCOUNT');
      expect(await failureOf(message(['0.0.3']).execute(own))).toMatch(/INVALID_NODE_ACCOUNT|max attempts/);
      await own.updateNetwork();
      expect(Object.values(own.network).map(String).sort()).toEqual(['0.0.4', '0.0.5', '0.0.9']);
      // The SDK may still pass over a node that failed it under its old account, so the node is asked directly.
      expect(await raw.submit(signedMessage(sim, { topic, node: '0.0.9' }))).toBe('OK');
    } finally {
      own.close();
      await admin('POST', 'nodes/0.0.9/rename', { to: '0.0.3' });
    }
  });

  it('tells where a node has moved to', async () => {
    const [old] = Object.entries(sim.nodes).find(([, id]) => id === '0.0.5') ?? [''];
    await admin('POST', 'nodes/0.0.5/move');
    const [now] = Object.entries(sim.nodes).find(([, id]) => id === '0.0.5') ?? [''];
    expect(now).not.toBe(old);
    await client.updateNetwork();
    expect(Object.keys(client.network)).toContain(now);
    expect(Object.keys(client.network)).not.toContain(old);
    expect(await receiptOf((await message(['0.0.5']).execute(client)).transactionId)).toBe('SUCCESS');
  });

  it('can be out of reach for a while', async () => {
    await arm({ op: 'getNodes', effect: { grpc: 14, when: 'before' } });
    await client.updateNetwork();
    expect(Object.keys(client.network)).toHaveLength(3);
    expect(
      sim.calls
        .filter(({ method }) => method === 'getNodes')
        .slice(-2)
        .map(({ outcome }) => outcome),
    ).toEqual([expect.stringContaining('fault'), 'OK']);
  });
});

describe('at a mirror', () => {
  const rest = (path: string, mirror = 0) =>
    fetch(`${sim.mirrorRestUrls[mirror]}/api/v1/${path}`, { signal: AbortSignal.timeout(500) });

  it.each([
    ['message', 'message'],
    ['runningHash', 'running_hash'],
    ['sequence', 'sequence_number'],
    ['timestamp', 'consensus_timestamp'],
    ['payer', 'payer_account_id'],
  ])('a lie about the %s is told by one and not by the other', async (corrupt, member) => {
    await receiptOf((await message().execute(client)).transactionId);
    await arm({ op: 'mirrorRest', match: { node: '1', type: 'topics' }, effect: { corrupt } });
    const path = `topics/${topic}/messages/1`;
    const [honest, lying] = (await Promise.all([0, 1].map(async (i) => (await rest(path, i)).json()))) as Record<
      string,
      unknown
    >[];
    const differing = Object.keys(honest ?? {}).filter(
      (key) => JSON.stringify(honest?.[key]) !== JSON.stringify(lying?.[key]),
    );
    expect(differing).toEqual([member]);
  });

  it('a message is left out by one and shown by the other', async () => {
    while (messages() < 2) await receiptOf((await message().execute(client)).transactionId);
    const first = async (mirror: number): Promise<unknown> =>
      ((await (await rest(`topics/${topic}/messages`, mirror)).json()) as { messages: { sequence_number: number }[] })
        .messages[0]?.sequence_number;
    await arm({ op: 'mirrorRest', match: { node: '1', type: 'topics' }, effect: { corrupt: 'gap' }, times: 2 });
    expect([await first(0), await first(1)]).toEqual([1, 2]);
    const statuses = [0, 1].map(async (mirror) => (await rest(`topics/${topic}/messages/1`, mirror)).status);
    expect(await Promise.all(statuses)).toEqual([200, 404]);
  });

  it('answers are late, refused, missing, or end with the mirror', async () => {
    await arm({ op: 'mirrorRest', effect: { delayMs: 30 } });
    expect((await rest('blocks')).status).toBe(200);
    await arm({ op: 'mirrorRest', effect: { http: 429 } });
    expect((await rest('blocks')).status).toBe(429);
    await arm({ op: 'mirrorRest', effect: { drop: true } });
    expect(await failureOf(rest('blocks'))).toMatch(/Timeout/);
    await arm({ op: 'mirrorRest', match: { node: '1' }, effect: { kill: true } });
    expect(await failureOf(rest('blocks', 1))).toMatch(/fetch failed/);
    expect(await failureOf(rest('blocks', 1))).toMatch(/fetch failed/);
    expect((await rest('blocks', 0)).status).toBe(200);
    await admin('POST', 'mirror/1/start');
    expect((await rest('blocks', 1)).status).toBe(200);
  });

  it('a pause holds rows and streams back, and a lag delays them, each mirror by itself', async () => {
    const other = sim.treasury.createTopic({});
    const submit = () => raw.submit(signedMessage(sim, { topic: other }));
    const texts: string[] = [];
    const handle = new TopicMessageQuery()
      .setTopicId(other)
      .setStartTime(0)
      .subscribe(
        client,
        () => undefined,
        (row) => texts.push(String(row.sequenceNumber)),
      );
    await submit();
    while (texts.length < 1) await new Promise((resolve) => setImmediate(resolve));
    await admin('POST', 'mirror/0/pause');
    sim.clock.advance(5);
    await submit();
    const rows = () => sim.ledger.state.topics.get(other)?.messages.length;
    while (rows() !== 2) await new Promise((resolve) => setImmediate(resolve));
    const seen = async (mirror: number) => (await rest(`topics/${other}/messages/2`, mirror)).status;
    expect([await seen(0), await seen(1), texts.length]).toEqual([404, 200, 1]);
    await admin('POST', 'mirror/0/lag', { lagMs: 30_000 });
    await admin('POST', 'mirror/0/resume');
    expect(await seen(0)).toBe(404);
    await admin('POST', 'clock', { advanceMs: 30_000 });
    expect(await seen(0)).toBe(200);
    while (texts.length < 2) await new Promise((resolve) => setImmediate(resolve));
    handle.unsubscribe();
    await admin('POST', 'mirror/0/lag', { lagMs: 0 });
    expect(texts).toEqual(['1', '2']);
  });

  it('a stream ends at its limit, and at its end time though nothing more comes', async () => {
    const other = sim.treasury.createTopic({});
    const now = sim.clock.nowNanos();
    for (let i = 0; i < 3; i++) await raw.submit(signedMessage(sim, { topic: other }));
    const collect = (query: TopicMessageQuery): Promise<number> =>
      new Promise((resolve) => {
        let count = 0;
        query
          .setTopicId(other)
          .setStartTime(0)
          .setCompletionHandler(() => resolve(count))
          .subscribe(
            client,
            () => undefined,
            () => {
              count += 1;
            },
          );
      });
    expect(await collect(new TopicMessageQuery().setLimit(2))).toBe(2);
    const end = Timestamp.fromDate(new Date(Number(now / 1_000_000n) + 60_000));
    const open = collect(new TopicMessageQuery().setEndTime(end));
    await receiptOf((await message().execute(client)).transactionId);
    sim.clock.advance(61_000);
    expect(await open).toBe(3);
  });

  it('a stream that breaks is taken up again by the SDK', async () => {
    await arm({ op: 'mirrorGrpc', match: { type: 'subscribeTopic' }, effect: { grpc: 14, when: 'before' } });
    const first = await new Promise<string>((resolve) => {
      const handle = new TopicMessageQuery()
        .setTopicId(topic)
        .setStartTime(0)
        .subscribe(
          client,
          () => undefined,
          (row) => {
            handle.unsubscribe();
            resolve(String(row.sequenceNumber));
          },
        );
    });
    expect(first).toBe('1');
  });
});

describe('the interface for faults', () => {
  it.each<[string, string, unknown]>([
    ['POST', 'faults', { op: 'elsewhere', effect: { drop: true } }],
    ['POST', 'faults', { op: 'ingest', effect: { precheck: 'NO_SUCH_STATUS' } }],
    ['POST', 'faults', { op: 'ingest', effect: {} }],
    ['POST', 'faults', { op: 'ingest', effect: { drop: true }, times: 0 }],
    ['POST', 'faults', { op: 'ingest', effect: { drop: true }, match: { colour: 'red' } }],
    ['POST', 'faults', { op: 'ingest', effect: { drop: true }, probability: 1 }],
    ['POST', 'clock', { mode: 'sundial' }],
    ['POST', 'clock', { advanceMs: 'soon' }],
    ['POST', 'mirror/0/lag', {}],
    ['POST', 'nodes/0.0.77/stop', {}],
    ['POST', 'nodes/0.0.3/rename', { to: '0.0.4' }],
    ['POST', 'balances', { busy: 'yes' }],
    ['POST', 'accounts', { publicKey: 'ab' }],
    ['POST', 'topics', []],
  ])('refuses %s %s %j', async (method, path, body) => {
    expect(await admin(method, path, body)).toMatchObject({ status: 400, body: { error: expect.any(String) } });
    expect(sim.faults.count()).toBe(0);
  });

  it('knows no other routes', async () => {
    for (const [method, path] of [
      ['GET', 'nothing'],
      ['PUT', 'faults'],
      ['POST', 'mirror/7/pause'],
    ] as const)
      expect((await admin(method, path, method === 'GET' ? undefined : {})).status).toBe(404);
  });

  it('writes every call down: who was asked, for what, and how it ended', async () => {
    const { transactionId } = await message(['0.0.4']).execute(client);
    await receiptOf(transactionId);
    await fetch(`${sim.mirrorRestUrls[1]}/api/v1/network/nodes`);
    const { body } = await admin('GET', 'log');
    expect(body).toEqual(
      expect.arrayContaining([
        { node: '0.0.4', method: 'submitMessage', transactionId: transactionId.toString(), outcome: 'OK' },
        expect.objectContaining({ method: 'getTransactionReceipts', transactionId: transactionId.toString() }),
        { node: 'mirror-1', method: 'GET /api/v1/network/nodes', transactionId: '', outcome: '200' },
      ]),
    );
  });

  it('holds the clock, throttles balances, and starts all over', async () => {
    expect((await admin('POST', 'clock', { mode: 'manual', advanceMs: 1_000 })).body).toMatchObject({ mode: 'manual' });
    const held = sim.clock.nowMs();
    expect((await admin('POST', 'clock', { advanceMs: 500 })).body).toEqual({ mode: 'manual', nowMs: held + 500 });
    expect((await admin('POST', 'clock', { mode: 'wall' })).body).toMatchObject({ mode: 'wall' });
    expect((await admin('POST', 'balances', { busy: true })).body).toEqual({ busy: true });
    expect((await admin('POST', 'reset')).body).toMatchObject({
      transactions: 0,
      faults: 0,
      balancesBusy: false,
      topics: [],
    });
    topic = sim.treasury.createTopic({});
  });
});
