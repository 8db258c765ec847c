import { readFileSync } from 'node:fs';
import {
  AccountId,
  Client,
  ContractCreateTransaction,
  KeyList,
  PrivateKey,
  TopicCreateTransaction,
  TopicMessageSubmitTransaction,
  TransactionReceiptQuery,
} from '@hashgraph/sdk';
import { proto } from '@hiero-ledger/proto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Ajv } from 'ajv';
import { type HederaSim, startHederaSim } from './start-hedera-sim.ts';

type Schema = { [member: string]: unknown };

const readJson = (file: string): unknown => JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8'));
const document = readJson('./openapi/mirror.schema.json') as Schema & { definitions: Record<string, Schema> };
const samples = readJson('./openapi/samples.json') as { definition: string; origin: string; body: unknown }[];

const lenient = new Ajv({ strictTypes: false }).addSchema(document);
const strict = new Ajv({ strictTypes: false }).addSchema({
  ...document,
  definitions: Object.fromEntries(Object.entries(document.definitions).map(([name, schema]) => [name, close(schema)])),
});

/** Every documented member is required, no other is allowed. */
function close(schema: Schema): Schema {
  if (Array.isArray(schema.allOf)) {
    const parts = (schema.allOf as Schema[]).map((part) => close(resolve(part)));
    return close({ type: 'object', properties: Object.assign({}, ...parts.map((part) => part.properties)) });
  }
  const properties = schema.properties as Record<string, Schema> | undefined;
  return {
    ...schema,
    ...(schema.items === undefined ? {} : { items: close(schema.items as Schema) }),
    ...(properties === undefined
      ? {}
      : {
          properties: Object.fromEntries(Object.entries(properties).map(([name, inner]) => [name, close(inner)])),
          required: Object.keys(properties),
          additionalProperties: false,
        }),
  };
}

function resolve(schema: Schema): Schema {
  const name = typeof schema.$ref === 'string' ? schema.$ref.replace('#/definitions/', '') : undefined;
  return name === undefined ? schema : (document.definitions[name] ?? {});
}

function faultsOf(ajv: Ajv, definition: string, body: unknown): unknown {
  const validate = ajv.getSchema(`mirror#/definitions/${definition}`);
  if (validate === undefined) throw new Error(`no definition ${definition}`);
  return validate(body) ? undefined : validate.errors;
}

let sim: HederaSim;
let client: Client;
/** By name, what the paths below are made of. */
const made: Record<string, string> = {};

beforeAll(async () => {
  sim = await startHederaSim({ consensusDelayMs: 1, mirrorLagMs: 0 });
  client = Client.forNetwork({ ...sim.nodes }, { scheduleNetworkUpdate: false });
  client
    .setOperator(sim.operatorId, await PrivateKey.fromPem(sim.operatorKey))
    .setMinBackoff(5)
    .setMaxBackoff(50);
  const [admin, one, two] = [PrivateKey.generateED25519(), PrivateKey.generateECDSA(), PrivateKey.generateED25519()];
  made.account = sim.treasury.createAccount({ publicKey: one.publicKey.toBytesRaw(), balanceHbar: 10 });
  const create = new TopicCreateTransaction()
    .setAdminKey(admin.publicKey)
    .setSubmitKey(new KeyList([one.publicKey, two.publicKey], 1))
    .freezeWith(client);
  const { topicId } = await (await (await create.sign(admin)).execute(client)).getReceipt(client);
  made.topic = String(topicId);
  const submit = new TopicMessageSubmitTransaction().setTopicId(made.topic).setMessage('m').freezeWith(client);
  const sent = await (await submit.sign(two)).execute(client);
  await sent.getReceipt(client);
  made.transaction = mirrorId(sent.transactionId.toString());
  made.timestamp = String(((await get(`topics/${made.topic}/messages/1`)) as Schema).consensus_timestamp);
  // Logs nothing from memory, then leaves one byte of code.
  const deploy = await new ContractCreateTransaction()
    .setBytecode(Buffer.from('60006000a06001601160003960016000f300', 'hex'))
    .setGas(200_000)
    .execute(client);
  made.contract = String((await deploy.getReceipt(client)).contractId);
  made.deployment = mirrorId(deploy.transactionId.toString());
  sim.clock.advance(10_000);
});

afterAll(async () => {
  client.close();
  await sim.stop();
});

const mirrorId = (id: string): string => id.replace('@', '-').replace(/\.(\d+)$/, '-$1');
const fill = (path: string): string => path.replace(/\{(\w+)\}/g, (_, name: string) => made[name] ?? '');

async function get(path: string, mirror = 0, init: RequestInit = {}): Promise<unknown> {
  return (await fetch(`${sim.mirrorRestUrls[mirror]}/api/v1/${fill(path)}`, init)).json();
}

describe('answers of public networks', () => {
  it.each(samples)('satisfy the schema: $origin', ({ definition, body }) => {
    expect(faultsOf(lenient, definition, body)).toBeUndefined();
  });

  it('would not satisfy it with a member of another type', () => {
    const { definition, body } = samples[1] ?? { definition: '', body: {} };
    expect(faultsOf(lenient, definition, { ...(body as Schema), sequence_number: '3' })).toMatchObject([
      { instancePath: '/sequence_number' },
    ]);
  });
});

describe("the simulator's answers", () => {
  it.each([
    ['TopicMessagesResponse', 'topics/{topic}/messages'],
    ['TopicMessage', 'topics/{topic}/messages/1'],
    ['TopicMessage', 'topics/messages/{timestamp}'],
    ['Topic', 'topics/{topic}'],
    ['TransactionsResponse', 'transactions?limit=2'],
    ['TransactionByIdResponse', 'transactions/{transaction}'],
    ['BlocksResponse', 'blocks?limit=3'],
    ['Block', 'blocks/0'],
    ['AccountBalanceTransactions', 'accounts/{account}'],
    ['AccountBalanceTransactions', 'accounts/0.0.2?limit=1'],
    ['AccountsResponse', 'accounts?limit=5'],
    ['BalancesResponse', 'balances?account.id={account}'],
    ['NetworkNodesResponse', 'network/nodes'],
    ['NetworkExchangeRateSetResponse', 'network/exchangerate'],
    ['NetworkFeesResponse', 'network/fees'],
    ['Error', 'topics/0.0.9'],
    ['Error', 'transactions?limit=none'],
  ])('have every member of %s and no other: %s', async (definition, path) => {
    for (const mirror of [0, 1]) expect(faultsOf(strict, definition, await get(path, mirror))).toBeUndefined();
  });

  it.each([
    ['ContractResponse', 'contracts/{contract}'],
    ['ContractResultDetails', 'contracts/results/{deployment}'],
    ['ContractLogsResponse', 'contracts/{contract}/results/logs'],
  ])('have the types of %s: %s', async (definition, path) => {
    const body = await get(path);
    expect(faultsOf(lenient, definition, body)).toBeUndefined();
    expect(Object.keys(body as Schema)).not.toContain('_status');
  });

  it('have every member of FeeEstimateResponse and no other, and name the fee that is charged', async () => {
    const submit = new TopicMessageSubmitTransaction().setTopicId(made.topic ?? '').setMessage('x'.repeat(300));
    const signed = await submit
      .setNodeAccountIds([AccountId.fromString('0.0.3')])
      .freezeWith(client)
      .signWithOperator(client);
    const [first] = proto.TransactionList.decode(signed.toBytes()).transactionList;
    const body = proto.Transaction.encode(first ?? {}).finish();
    const estimate = (await get('network/fees?mode=STATE', 0, { method: 'POST', body: Buffer.from(body) })) as Schema;
    expect(faultsOf(strict, 'FeeEstimateResponse', estimate)).toBeUndefined();
    const sent = await signed.execute(client);
    await new TransactionReceiptQuery().setTransactionId(sent.transactionId).setValidateStatus(false).execute(client);
    const { transactions } = (await get(`transactions/${mirrorId(sent.transactionId.toString())}`)) as {
      transactions: Schema[];
    };
    expect(transactions[0]?.charged_tx_fee).toBe(estimate.total);
    expect(await get('network/fees', 0, { method: 'POST', body: 'junk' })).toMatchObject({ _status: {} });
  });
});
