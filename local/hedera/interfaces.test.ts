import { Client, PrivateKey, TopicMessageSubmitTransaction } from '@hashgraph/sdk';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type HederaSim, startHederaSim } from './start-hedera-sim.ts';

let sim: HederaSim;
let topicId: string;

beforeAll(async () => {
  sim = await startHederaSim({ consensusDelayMs: 1, mirrorLagMs: 0, mirrorCount: 2 });
  topicId = sim.treasury.createTopic({});
  const client = Client.forNetwork({ ...sim.nodes }, { scheduleNetworkUpdate: false });
  client
    .setOperator(sim.operatorId, await PrivateKey.fromPem(sim.operatorKey))
    .setMinBackoff(5)
    .setMaxBackoff(20);
  for (const text of ['a', 'b', 'c', 'd', 'e']) {
    await (await new TopicMessageSubmitTransaction().setTopicId(topicId).setMessage(text).execute(client)).getReceipt(
      client,
    );
  }
  client.close();
});
afterAll(() => sim.stop());

interface Row {
  readonly sequence_number: number;
  readonly consensus_timestamp: string;
}

async function get(
  path: string,
  mirror = 0,
): Promise<{ status: number; body: { messages: Row[]; links: { next: string | null } } & Record<string, unknown> }> {
  const response = await fetch(`${sim.mirrorRestUrls[mirror]}${path.startsWith('/') ? path : `/api/v1/${path}`}`);
  return { status: response.status, body: (await response.json()) as never };
}

const sequences = async (query: string): Promise<number[]> =>
  (await get(`topics/${topicId}/messages?${query}`)).body.messages.map((row) => row.sequence_number);

describe("a mirror's REST interface", () => {
  it.each([
    ['order=desc&limit=2', [5, 4]],
    ['sequencenumber=gt:2&sequencenumber=lte:4', [3, 4]],
    ['sequencenumber=3', [3]],
    ['sequencenumber=gte:9', []],
  ])('selects messages by %s', async (query, expected) => {
    expect(await sequences(query)).toEqual(expected);
  });

  it('selects messages by consensus time', async () => {
    const { body } = await get(`topics/${topicId}/messages/3`);
    expect(await sequences(`timestamp=gt:${body.consensus_timestamp}`)).toEqual([4, 5]);
    expect((await get(`topics/messages/${body.consensus_timestamp}`)).body.sequence_number).toBe(3);
  });

  it('pages through all messages by its links, each once', async () => {
    const seen: number[] = [];
    for (let next: string | null = `/api/v1/topics/${topicId}/messages?limit=2`; next !== null; ) {
      const { body } = await get(next);
      seen.push(...body.messages.map((row) => row.sequence_number));
      next = body.links.next;
    }
    expect(seen).toEqual([1, 2, 3, 4, 5]);
  });

  it.each(['topics/0.0.9', 'topics/0.0.9/messages/1', 'transactions/0.0.2-1-000000001', 'accounts/0.0.9', 'nothing'])(
    'answers 404 for %s',
    async (path) => {
      expect(await get(path)).toEqual({ status: 404, body: { _status: { messages: [{ message: 'Not found' }] } } });
    },
  );

  it.each(['limit=0', 'order=up', 'sequencenumber=ne:1', 'timestamp=now'])('answers 400 for %s', async (query) => {
    expect((await get(`topics/${topicId}/messages?${query}`)).status).toBe(400);
  });

  it('answers for blocks, nodes, rates, fees and balances', async () => {
    sim.clock.advance(10_000);
    const { blocks } = (await get('blocks?limit=1&order=desc')).body as unknown as {
      blocks: { number: number; previous_hash: string }[];
    };
    const [block] = blocks;
    expect((await get(`blocks/${(block?.number ?? 0) - 1}`)).body.hash).toBe(block?.previous_hash);
    expect((await get('network/nodes')).body.nodes).toHaveLength(3);
    expect((await get('network/exchangerate')).body.current_rate).toMatchObject({
      cent_equivalent: 12,
      hbar_equivalent: 1,
    });
    expect((await get('network/fees')).body.fees).toContainEqual({ gas: 71, transaction_type: 'ContractCall' });
    expect((await get(`balances?account.id=${sim.operatorId}`)).body.balances).toHaveLength(1);
  });
});

describe("the simulator's own interface", () => {
  const call = async (method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }> => {
    const response = await fetch(`${sim.adminUrl}${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json() };
  };

  it('pauses one mirror and not the other', async () => {
    await call('POST', '/mirror/1/pause');
    sim.clock.advance(1);
    const later = sim.treasury.createTopic({});
    expect([(await get(`topics/${later}`, 0)).status, (await get(`topics/${later}`, 1)).status]).toEqual([200, 404]);
    await call('POST', '/mirror/1/resume');
    expect((await get(`topics/${later}`, 1)).status).toBe(200);
  });

  it('arms faults, moves the clock, tells its state and its calls', async () => {
    await call('POST', '/faults', { at: 'mirrorRest', effect: { http: 429 }, times: 1 });
    expect([(await get('blocks')).status, (await get('blocks')).status]).toEqual([429, 200]);
    const before = sim.clock.nowMs();
    await call('POST', '/clock', { advanceMs: 60_000 });
    expect(sim.clock.nowMs() - before).toBeGreaterThanOrEqual(60_000);
    expect((await call('GET', '/state')).body).toMatchObject({
      topics: expect.arrayContaining([{ id: topicId, messages: 5, isDeleted: false }]),
    });
    expect((await call('GET', '/log')).body).toEqual(
      expect.arrayContaining([expect.objectContaining({ method: 'submitMessage', outcome: 'OK' })]),
    );
  });

  it('creates accounts and topics, and refuses keys that are none', async () => {
    const publicKey = 'ab'.repeat(32);
    expect((await call('POST', '/accounts', { publicKey, balanceHbar: 1 })).body).toMatchObject({
      accountId: expect.stringMatching(/^0\.0\./),
    });
    expect((await call('POST', '/topics', { submitKey: publicKey })).body).toMatchObject({
      topicId: expect.stringMatching(/^0\.0\./),
    });
    expect((await call('POST', '/accounts', { publicKey: 'ab' })).status).toBe(400);
    expect((await call('GET', '/nothing')).status).toBe(404);
  });
});
