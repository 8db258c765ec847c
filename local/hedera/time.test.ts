import { afterEach, describe, expect, it } from '@jest/globals';
import { privateKeyPem } from './random.ts';
import { createRawClient, messageBody, type RawClient, signedMessage } from './raw-client.ts';
import { publicKeyOf, signByEd25519, signTransaction } from './sign-transaction.ts';
import { createSimClock } from './sim-clock.ts';
import { type HederaSim, type HederaSimOptions, startHederaSim } from './start-hedera-sim.ts';
import { accountId, codeOf, nanosToTime } from './wire.ts';

const running: HederaSim[] = [];
const clients: RawClient[] = [];

async function start(options: HederaSimOptions = {}): Promise<{ sim: HederaSim; nodes: RawClient[] }> {
  const sim = await startHederaSim({ consensusDelayMs: 'manual', mirrorLagMs: 0, ...options });
  const nodes = Object.keys(sim.nodes).map(createRawClient);
  running.push(sim);
  clients.push(...nodes);
  return { sim, nodes };
}

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const sim of running.splice(0)) await sim.stop();
});

const idOf = (sim: HederaSim): string => sim.calls.at(-1)?.transactionId ?? '';
const at = 1_790_000_000_000;

const newestHash = ({ blocks }: { blocks: unknown }): string | undefined =>
  (blocks as { blocks: { hash: string }[] }).blocks.at(-1)?.hash;

/** One network whose time, keys and transactions all follow from constants. */
async function runStory(word = 'message'): Promise<{ hashes: string[]; times: bigint[]; blocks: unknown }> {
  const { sim, nodes } = await start({ seed: 'story', clock: createSimClock(() => at, 'manual') });
  const topic = sim.treasury.createTopic({});
  for (let i = 0; i < 5; i++) {
    const startNanos = BigInt(at - 5_000 - i) * 1_000_000n;
    await nodes[0]?.submit(signedMessage(sim, { topic, message: Buffer.from(`${word} ${i}`), startNanos }));
    if (i % 2 === 0) await sim.tick();
    sim.clock.advance(700);
  }
  await sim.tick();
  sim.clock.advance(10_000);
  const rows = sim.ledger.state.topics.get(topic)?.messages ?? [];
  return {
    hashes: rows.map(({ runningHash }) => Buffer.from(runningHash).toString('hex')),
    times: rows.map(({ consensusNanos }) => consensusNanos),
    blocks: await (await fetch(`${sim.mirrorRestUrls[1]}/api/v1/blocks?order=asc`)).json(),
  };
}

describe('a network with a seed and a held clock', () => {
  it('comes to the same running hashes and block hashes each time', async () => {
    const first = await runStory();
    expect(first.hashes).toHaveLength(5);
    expect(new Set(first.times).size).toBe(5);
    expect(await runStory()).toEqual(first);
    const other = await runStory('another');
    expect(other.times).toEqual(first.times);
    expect(newestHash(other)).not.toBe(newestHash(first));
  });

  it('stands still for consensus and mirrors until it is advanced, while validity goes on with the machine’s time', async () => {
    let wall = at;
    const clock = createSimClock(() => wall, 'manual');
    const { sim, nodes } = await start({ clock });
    const topic = sim.treasury.createTopic({});
    const early = signedMessage(sim, { topic, startInMs: 2_000 });
    expect(await nodes[0]?.submit(early)).toBe('INVALID_TRANSACTION_START');
    wall += 3_000;
    expect(await nodes[0]?.submit(early)).toBe('OK');
    await sim.tick();
    expect(sim.ledger.state.topics.get(topic)?.messages[0]?.consensusNanos).toBeLessThan(BigInt(at + 1) * 1_000_000n);
    expect(clock.nowMs()).toBe(at);
    clock.advance(60_000);
    expect(clock.nowMs()).toBe(at + 60_000);
    expect(await nodes[0]?.submit(signedMessage(sim, { topic, startInMs: -120_000 }))).toBe('TRANSACTION_EXPIRED');
  });
});

describe('a transaction on its way', () => {
  it('is unknown, then pending at the node that took it, then final everywhere, then forgotten after 180 seconds', async () => {
    const { sim, nodes } = await start();
    const topic = sim.treasury.createTopic({});
    const bytes = signedMessage(sim, { topic });
    const kinds = (id: string) => ['0.0.3', '0.0.4'].map((node) => sim.ledger.receipt(node, id).kind);
    await nodes[0]?.submit(bytes);
    const id = idOf(sim);
    expect(kinds(id)).toEqual(['pending', 'unheard']);
    await sim.tick();
    expect(kinds(id)).toEqual(['handled', 'handled']);
    sim.clock.advance(179_000);
    expect(kinds(id)).toEqual(['handled', 'handled']);
    sim.clock.advance(1_100);
    expect(kinds(id)).toEqual(['unheard', 'unheard']);
  });

  it('that two nodes take is one message: the second copy is a duplicate at consensus and pays node and network alone', async () => {
    const { sim, nodes } = await start();
    const topic = sim.treasury.createTopic({});
    const startNanos = sim.clock.ingestNanos() - 5_000_000_000n;
    const copies = ['0.0.3', '0.0.4'].map((node) => signedMessage(sim, { topic, node, startNanos }));
    expect([
      await nodes[0]?.submit(copies[0] ?? new Uint8Array()),
      await nodes[1]?.submit(copies[1] ?? new Uint8Array()),
    ]).toEqual(['OK', 'OK']);
    await sim.tick();
    const handled = sim.ledger.state.byId.get(idOf(sim)) ?? [];
    expect(handled.map(({ status, chargedFee }) => [status, chargedFee])).toEqual([
      ['SUCCESS', 141_666n],
      ['DUPLICATE_TRANSACTION', 83_333n],
    ]);
    expect(sim.ledger.state.topics.get(topic)?.messages).toHaveLength(1);
    // Once consensus had it, every node refuses it at once.
    const third = signedMessage(sim, { topic, node: '0.0.5', startNanos });
    expect(await nodes[2]?.submit(third)).toBe('DUPLICATE_TRANSACTION');
    const transactionID = { accountID: accountId(sim.operatorId), transactionValidStart: nanosToTime(startNanos) };
    const query = { transactionGetReceipt: { transactionID, includeDuplicates: true } };
    const { transactionGetReceipt } = (await nodes[2]?.ask(query, 'CryptoService/getTransactionReceipts')) ?? {};
    expect(transactionGetReceipt?.receipt?.status).toBe(codeOf('SUCCESS'));
    expect(transactionGetReceipt?.duplicateTransactionReceipts?.map(({ status }) => status)).toEqual([
      codeOf('DUPLICATE_TRANSACTION'),
    ]);
    const shown = await (
      await fetch(
        `${sim.mirrorRestUrls[0]}/api/v1/transactions/${idOf(sim)
          .replace('@', '-')
          .replace(/\.(\d+)$/, '-$1')}`,
      )
    ).json();
    expect(shown).toMatchObject({ transactions: [{ result: 'SUCCESS' }, { result: 'DUPLICATE_TRANSACTION' }] });
  });

  it('ends TRANSACTION_EXPIRED, unpaid, when consensus comes after its validity', async () => {
    const { sim, nodes } = await start();
    const topic = sim.treasury.createTopic({});
    await nodes[0]?.submit(signedMessage(sim, { topic, validSeconds: 60 }));
    sim.clock.advance(120_000);
    await sim.tick();
    const [handled] = sim.ledger.state.byId.get(idOf(sim)) ?? [];
    expect(handled).toMatchObject({ status: 'TRANSACTION_EXPIRED', chargedFee: 0n, transfers: [] });
  });
});

describe('genesis', () => {
  it('gives the accounts that it is told to, and the first new entity is 0.0.1001', async () => {
    const pem = privateKeyPem('genesis', 'payer');
    const key = { ed25519: publicKeyOf(pem) };
    const { sim, nodes } = await start({
      genesis: [{ id: '0.0.1000', key, balanceTinybars: 1_000_000n }],
      nodeCount: 1,
      mirrorCount: 1,
    });
    const topic = sim.treasury.createTopic({});
    expect(topic).toBe('0.0.1001');
    const body = messageBody(sim, { topic, payer: '0.0.1000' });
    expect(await nodes[0]?.submit(signTransaction(body, [signByEd25519(pem)]))).toBe('OK');
    const dear = messageBody(sim, { topic, payer: '0.0.1000', message: new Uint8Array(5_000) });
    expect(await nodes[0]?.submit(signTransaction(dear, [signByEd25519(pem)]))).toBe('INSUFFICIENT_PAYER_BALANCE');
  });

  it('refuses to listen beyond loopback, and networks without nodes', async () => {
    await expect(startHederaSim({ mirrorRest: { host: '0.0.0.0', port: 0 } })).rejects.toThrow('loopback');
    await expect(startHederaSim({ nodeCount: 0 })).rejects.toThrow('1 to 30');
  });
});

describe('a reset', () => {
  it('leaves an empty ledger under the same addresses and keys', async () => {
    const { sim, nodes } = await start();
    const before = { nodes: sim.nodes, key: sim.operatorKey };
    const topic = sim.treasury.createTopic({});
    await nodes[0]?.submit(signedMessage(sim, { topic }));
    sim.faults.arm({ at: 'ingest', effect: { precheck: 'BUSY' } });
    sim.reset();
    await sim.tick();
    expect(sim.ledger.state.transactions).toEqual([]);
    expect((await fetch(`${sim.mirrorRestUrls[0]}/api/v1/topics/${topic}`)).status).toBe(404);
    expect(sim.treasury.createTopic({})).toBe(topic);
    expect(await nodes[0]?.submit(signedMessage(sim, { topic }))).toBe('OK');
    expect({ nodes: sim.nodes, key: sim.operatorKey }).toEqual(before);
  });
});
