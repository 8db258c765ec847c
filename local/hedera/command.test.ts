import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { until } from '../../test/support/until.ts';

interface Network {
  readonly nodes: Record<string, string>;
  readonly tlsNodes: Record<string, string>;
  readonly mirrorGrpc: string;
  readonly mirrorRest: string;
  readonly operatorId: string;
  readonly operatorKey: string;
  readonly chainId: number;
  readonly mirrors: readonly { readonly rest: string; readonly grpc: string }[];
  readonly admin: string;
}

interface Running {
  readonly child: ChildProcess;
  readonly network: Network;
  /** Everything that it printed so far. */
  readonly lines: readonly string[];
}

/** Far from the ports that systems give out by themselves, and apart for parallel test workers. */
const FIRST_BASE = 21_000 + 400 * Number(process.env.JEST_WORKER_ID ?? 0);

async function start(portBase: number, ...more: string[]): Promise<Running> {
  const child = spawn(process.execPath, ['local/hedera/command.ts', '--port-base', String(portBase), ...more], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH },
  });
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  reader.on('line', (line) => lines.push(line));
  await Promise.race([once(reader, 'line'), once(child, 'exit')]);
  return { child, network: JSON.parse(lines[0] ?? '') as Network, lines };
}

async function stop({ child }: Running): Promise<number | null> {
  if (child.exitCode !== null) return child.exitCode;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  return (await ended)[0] as number | null;
}

/** A client of the unmodified SDK, in a process of its own: everything that an anchor needs, plain and over TLS. */
const ROUND_TRIP = `
const network = JSON.parse(process.env.NETWORK);
async function roundTrip(isTls) {
  const client = sdk.Client.forNetwork(network.nodes, { scheduleNetworkUpdate: false });
  client.setMirrorNetwork([network.mirrorGrpc]).setOperator(network.operatorId, network.operatorKey);
  client.setMinBackoff(20).setMaxBackoff(200);
  if (isTls) client.setTransportSecurity(true);
  try {
    const submitKey = sdk.PrivateKey.generateED25519();
    const created = await new sdk.TopicCreateTransaction().setSubmitKey(submitKey.publicKey).execute(client);
    const { topicId } = await created.getReceipt(client);
    const frozen = new sdk.TopicMessageSubmitTransaction().setTopicId(topicId).setMessage('pl1|x').freezeWith(client);
    const sent = await (await frozen.sign(submitKey)).execute(client);
    const receipt = await new sdk.TransactionReceiptQuery().setTransactionId(sent.transactionId).execute(client);
    const record = await new sdk.TransactionRecordQuery().setTransactionId(sent.transactionId).execute(client);
    const row = await new Promise((resolve, reject) => {
      const handle = new sdk.TopicMessageQuery().setTopicId(topicId).setStartTime(0).subscribe(
        client,
        (_, error) => reject(error),
        (message) => { handle.unsubscribe(); resolve(message); },
      );
    });
    await client.updateNetwork();
    const after = await new sdk.TransactionReceiptQuery().setTransactionId(sent.transactionId).execute(client);
    const hex = (bytes) => Buffer.from(bytes).toString('hex');
    const { consensusTimestamp: at } = record;
    return {
      ports: [...new Set(Object.keys(client.network).map((address) => address.split(':')[1]))],
      nodes: Object.values(client.network).map(String).sort(),
      status: [receipt.status.toString(), after.status.toString()],
      sequence: receipt.topicSequenceNumber.toString(),
      text: Buffer.from(row.contents).toString(),
      isSameRunningHash: hex(row.runningHash) === hex(receipt.topicRunningHash),
      isSameHash: hex(record.transactionHash) === hex(sent.transactionHash),
      hash: Buffer.from(sent.transactionHash).toString('base64'),
      messagePath: 'topics/messages/' + at.seconds + '.' + String(at.nanos).padStart(9, '0'),
      id: sent.transactionId.toString().replace('@', '-').replace(/\\.(\\d+)$/, '-$1'),
    };
  } finally {
    client.close();
  }
}
(async () => {
  console.log(JSON.stringify([await roundTrip(false), await roundTrip(true)]));
  process.exit(0);
})().catch((error) => { console.error(error); process.exit(1); });
`;
const MODULES = {
  module: `import * as sdk from '@hashgraph/sdk';${ROUND_TRIP}`,
  commonjs: `const sdk = require('@hashgraph/sdk');${ROUND_TRIP}`,
};

async function runClient(type: keyof typeof MODULES, network: Network): Promise<readonly Record<string, unknown>[]> {
  const child = spawn(process.execPath, [`--input-type=${type}`, '-e', MODULES[type]], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH, NETWORK: JSON.stringify(network) },
  });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await once(child, 'close');
  return JSON.parse(text) as Record<string, unknown>[];
}

describe('the command', () => {
  let first: Running;
  let second: Running;

  beforeAll(async () => {
    [first, second] = await Promise.all([start(FIRST_BASE), start(FIRST_BASE + 100, '--seed', 'twice')]);
  });
  afterAll(async () => {
    await Promise.all([stop(first), stop(second)]);
  });

  it('prints one line, once everything answers', async () => {
    expect(first.network).toMatchObject({
      mirrorGrpc: `127.0.0.1:${FIRST_BASE + 10}`,
      mirrorRest: `http://127.0.0.1:${FIRST_BASE}`,
      operatorId: '0.0.2',
      operatorKey: expect.stringMatching(/^302e020100300506032b657004220420[0-9a-f]{64}$/),
      chainId: 298,
    });
    expect(Object.values(first.network.nodes)).toEqual(['0.0.3', '0.0.4', '0.0.5']);
    expect(first.lines).toHaveLength(1);
    const urls = first.network.mirrors.map(({ rest }) => `${rest}/api/v1/network/nodes`);
    const answers = await Promise.all([...urls, `${first.network.admin}/state`].map((url) => fetch(url)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
  });

  it('runs twice side by side, each with a ledger of its own', async () => {
    const key = 'ab'.repeat(32);
    await fetch(`${first.network.admin}/topics`, { method: 'POST', body: JSON.stringify({ submitKey: key }) });
    const topics = async ({ network }: Running): Promise<number> =>
      ((await (await fetch(`${network.admin}/state`)).json()) as { topics: unknown[] }).topics.length;
    expect([await topics(first), await topics(second)]).toEqual([1, 0]);
    const addresses = [first, second].flatMap(({ network }) => Object.keys({ ...network.nodes, ...network.tlsNodes }));
    expect(new Set(addresses).size).toBe(12);
  });

  it.each(['module', 'commonjs'] as const)(
    'is a network to the unmodified SDK as %s: create, submit, receipt, record, subscribe, address book; plain and TLS',
    async (type) => {
      const trips = await runClient(type, first.network);
      const expected = {
        nodes: ['0.0.3', '0.0.4', '0.0.5'],
        status: ['SUCCESS', 'SUCCESS'],
        sequence: '1',
        text: 'pl1|x',
        isSameRunningHash: true,
        isSameHash: true,
      };
      expect(trips).toEqual([
        expect.objectContaining({ ...expected, ports: ['50211'] }),
        expect.objectContaining({ ...expected, ports: ['50212'] }),
      ]);
      for (const { rest } of first.network.mirrors) {
        const read = async (path: unknown) => (await fetch(`${rest}/api/v1/${path}`)).json();
        expect(await read(trips[0]?.messagePath)).toMatchObject({ sequence_number: 1 });
        expect(await read(`transactions/${trips[0]?.id}`)).toMatchObject({
          transactions: [{ transaction_hash: trips[0]?.hash }],
        });
      }
    },
  );

  it('draws the same key from the same seed, and ends when it is told to', async () => {
    const { operatorKey } = second.network;
    expect(await stop(second)).toBe(0);
    second = await start(FIRST_BASE + 100, '--seed', 'twice');
    expect(second.network.operatorKey).toBe(operatorKey);
    expect(second.network.operatorKey).not.toBe(first.network.operatorKey);
  });

  it('ends with the npm that started it', async () => {
    const npm = spawn('npm', ['run', '--silent', 'hedera-sim', '--', '--port-base', String(FIRST_BASE + 200)], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { PATH: process.env.PATH, HOME: process.env.HOME },
    });
    const reader = createInterface({ input: npm.stdout });
    const [line] = (await once(reader, 'line')) as [string];
    const { admin } = JSON.parse(line) as Network;
    const ended = once(npm, 'exit');
    npm.kill('SIGTERM');
    await ended;
    const answers = (): Promise<boolean> =>
      fetch(`${admin}/state`).then(
        () => true,
        () => false,
      );
    await until(answers, (isThere) => !isThere);
  });

  it.each([[[]], [['--port-base', 'x']], [['--port-base', '80']], [['--port-base', '21000', '--clock', 'sundial']]])(
    'refuses %j',
    async (args) => {
      const child = spawn(process.execPath, ['local/hedera/command.ts', ...args], { stdio: 'ignore' });
      expect((await once(child, 'exit'))[0]).toBe(2);
    },
  );
});
