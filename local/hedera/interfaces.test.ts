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

  it.each([
    ['transactions?transactiontype=CONSENSUSSUBMITMESSAGE', 'transactions', 5],
    ['transactions?transactiontype=consensuscreatetopic&result=success', 'transactions', 1],
    ['transactions?result=fail', 'transactions', 0],
    ['transactions?account.id=2&limit=3', 'transactions', 3],
    ['transactions?account.id=0.0.802&limit=100', 'transactions', 6],
    ['transactions?account.id=0.0.3', 'transactions', 0],
    ['transactions?timestamp=lt:1000000000', 'transactions', 0],
    ['accounts?account.id=lt:5', 'accounts', 3],
    ['accounts?account.id=gte:0.0.4&account.id=ne:0.0.5', 'accounts', 2],
    ['balances?account.id=2', 'balances', 1],
    ['network/nodes?node.id=gt:0', 'nodes', 2],
    ['network/nodes?file.id=0.0.101&limit=1', 'nodes', 1],
    ['blocks?block.number=eq:0', 'blocks', 1],
    ['blocks?timestamp=lt:1000000000', 'blocks', 0],
  ])('selects by %s', async (path, member, count) => {
    sim.clock.advance(4_000);
    const { status, body } = await get(path, 1);
    expect([status, (body[member] as unknown[]).length]).toEqual([200, count]);
  });

  it('shows text as text where it is asked to', async () => {
    expect((await get(`topics/${topicId}/messages/2?encoding=utf-8`)).body.message).toBe('b');
    expect((await get(`topics/${topicId}/messages/2`)).body.message).toBe(Buffer.from('b').toString('base64'));
    expect((await get(`topics/${topicId}/messages?encoding=utf8&limit=1`)).body.messages).toMatchObject([
      { message: 'a' },
    ]);
  });

  it('keeps the other filters in its links, and pages through transactions, accounts and blocks, each once', async () => {
    const walk = async (first: string, member: string, key: string): Promise<unknown[]> => {
      const seen: unknown[] = [];
      for (let next: string | null = `/api/v1/${first}`; next !== null; ) {
        const { body } = await get(next);
        seen.push(...(body[member] as Record<string, unknown>[]).map((row) => row[key]));
        next = body.links.next;
      }
      return seen;
    };
    const ids = await walk(
      'transactions?limit=2&transactiontype=CONSENSUSSUBMITMESSAGE&account.id=0.0.2',
      'transactions',
      'transaction_id',
    );
    expect([ids.length, new Set(ids).size]).toEqual([5, 5]);
    expect(await walk('accounts?limit=2&account.id=lte:5', 'accounts', 'account')).toEqual([
      '0.0.2',
      '0.0.3',
      '0.0.4',
      '0.0.5',
    ]);
    expect(await walk('blocks?limit=2&order=asc&block.number=lt:5', 'blocks', 'number')).toEqual([0, 1, 2, 3, 4]);
  });

  it('finds a transaction by its id and nonce 0 alone, an account by number, a block by hash', async () => {
    const { body } = await get('transactions?limit=1');
    const id = (body.transactions as { transaction_id: string }[])[0]?.transaction_id;
    const statuses = ['', '?nonce=0', '?nonce=1', '?scheduled=true', '?nonce=x'].map(
      async (query) => (await get(`transactions/${id}${query}`)).status,
    );
    expect(await Promise.all(statuses)).toEqual([200, 200, 404, 404, 400]);
    const accounts = ['2', '0.0.2', `0x${'2'.padStart(40, '0')}`].map(
      async (name) => (await get(`accounts/${name}`)).body.account,
    );
    expect(await Promise.all(accounts)).toEqual(['0.0.2', '0.0.2', '0.0.2']);
    const { body: block } = await get('blocks/1');
    expect((await get(`blocks/${block.hash}`)).body.number).toBe(1);
    expect((await get(`blocks/0x${'ab'.repeat(48)}`)).status).toBe(404);
  });

  it('chains its blocks, the same at every mirror, and counts each transaction in one of them', async () => {
    sim.clock.advance(4_000);
    const all = async (mirror: number) =>
      (await get('blocks?limit=100&order=asc', mirror)).body.blocks as {
        hash: string;
        previous_hash: string;
        count: number;
      }[];
    const [blocks, others] = [await all(0), await all(1)];
    expect(others.slice(0, blocks.length)).toEqual(blocks);
    for (const [i, block] of blocks.entries()) if (i > 0) expect(block.previous_hash).toBe(blocks[i - 1]?.hash);
    expect(new Set(blocks.map(({ hash }) => hash)).size).toBe(blocks.length);
    expect(blocks.reduce((sum, { count }) => sum + count, 0)).toBe(sim.ledger.state.transactions.length);
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
