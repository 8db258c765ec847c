/** The verbs of `npm run contract`. Each returns what it prints. */
import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import {
  AccountId,
  Client,
  ContractCallQuery,
  ContractExecuteTransaction,
  ContractId,
  Hbar,
  PrivateKey,
} from '@hashgraph/sdk';
import { type LedgerConfig, parseLedgerConfig } from '../activities/ledger/ledger-config.ts';
import { buildAnchorMessage } from '../domain/ledger/anchor-message.ts';
import {
  decodeAlreadyAnchored,
  decodeGet,
  encodeAnchorCall,
  encodeGetCall,
  longZeroAddress,
  nameRegistryError,
  registryEntryOf,
} from '../domain/ledger/checkpoint-registry.ts';
import { parseEntityId } from '../domain/ledger/entity-id.ts';
import { writeArtefact } from './compile.ts';
import { deployRegistry } from './deploy.ts';
import { createPayer, createTopic } from './set-up-ledger.ts';
import { verificationOf } from './verification.ts';

const CALL_GAS = 120_000;
const READ_GAS = 60_000;

const OPTIONS = {
  ledger: { type: 'string' },
  operator: { type: 'string' },
  'key-file': { type: 'string' },
  contract: { type: 'string' },
  owner: { type: 'string' },
  publisher: { type: 'string' },
  origin: { type: 'string' },
  size: { type: 'string' },
  root: { type: 'string' },
  out: { type: 'string' },
  hbar: { type: 'string' },
  'public-key': { type: 'string' },
  'submit-key': { type: 'string' },
  'admin-keys': { type: 'string' },
  'admin-threshold': { type: 'string' },
  'admin-key-files': { type: 'string' },
} as const;

type Values = { readonly [name in keyof typeof OPTIONS]?: string };
type Answer = Readonly<Record<string, unknown>>;
type Verb = (values: Values, env: NodeJS.ProcessEnv) => Promise<Answer>;

const VERBS: Readonly<Record<string, Verb>> = {
  /** Writes standard-input.json and the artefact from the source. */
  compile: async () => ({ sha256: writeArtefact() }),
  /** `--public-key` (hex) of the signer's payer key, `--hbar` to begin with. Each call makes another account. */
  'create-payer': (values, env) =>
    withClient(values, env, (client) =>
      createPayer(client, { publicKey: need(values, 'public-key'), hbar: Number(need(values, 'hbar')) }).then(
        (made) => ({ ...made }),
      ),
    ),
  /** `--submit-key`, `--admin-keys` (hex, by commas), `--admin-threshold`, `--admin-key-files` that sign. Each call makes another topic. */
  'create-topic': (values, env) =>
    withClient(values, env, async (client) => {
      const files = need(values, 'admin-key-files').split(',');
      const made = await createTopic(client, {
        submitKey: need(values, 'submit-key'),
        adminKeys: need(values, 'admin-keys').split(','),
        threshold: Number(need(values, 'admin-threshold')),
        adminPems: await Promise.all(files.map((file) => readFile(file, 'utf8'))),
      });
      return { ...made };
    }),
  /** `--owner`, `--publisher`: accounts (0.0.x) or addresses. Each call deploys another contract. */
  deploy: (values, env) =>
    withClient(values, env, (client) =>
      deployRegistry(client, {
        owner: addressOf(need(values, 'owner')),
        publisher: addressOf(need(values, 'publisher')),
      }).then((made) => ({ ...made })),
    ),
  /** Writes the payload for Sourcify to `--out`, after comparing the code at the mirror with the artefact. */
  async verify(values, env) {
    const contractId = need(values, 'contract');
    const config = await readLedger(values, env);
    const { payload, url, isSameCode } = await verificationOf(config, contractId);
    const file = need(values, 'out');
    if (!isSameCode) throw new Error(`the code of ${contractId} is not that of the artefact`);
    await writeFile(file, `${JSON.stringify(payload, undefined, 2)}\n`);
    return { contractId, isSameCode, file, url };
  },
  /** `--origin`, `--size`, `--root` (base64url) of a checkpoint; the operator must be a publisher. */
  anchor: (values, env) =>
    withClient(values, env, async (client) => {
      const entry = entryOf(values);
      const response = await new ContractExecuteTransaction()
        .setContractId(ContractId.fromString(need(values, 'contract')))
        .setGas(CALL_GAS)
        .setMaxTransactionFee(new Hbar(1))
        .setFunctionParameters(Buffer.from(encodeAnchorCall(entry).slice(2), 'hex'))
        .execute(client);
      const record = await response.getRecordQuery().setValidateReceiptStatus(false).execute(client);
      const transactionId = response.transactionId.toString();
      const status = record.receipt.status.toString();
      const error = record.contractFunctionResult?.errorMessage ?? '';
      if (status === 'SUCCESS')
        return {
          outcome: 'anchored',
          transactionId,
          consensusTimestamp: record.consensusTimestamp.toString(),
          root: entry.root,
        };
      const standing = decodeAlreadyAnchored(error);
      if (standing === undefined)
        throw new Error(`${transactionId} ended ${status} ${nameRegistryError(error) ?? error}`);
      return {
        outcome: 'already-anchored',
        transactionId,
        anchoredAt: standing.anchoredAt.toString(),
        root: entry.root,
      };
    }),
  /** What the contract holds of `--root` (base64url); asks a node, and pays the query. */
  read: (values, env) =>
    withClient(values, env, async (client) => {
      const root = rootOf(need(values, 'root'));
      const result = await new ContractCallQuery()
        .setContractId(ContractId.fromString(need(values, 'contract')))
        .setGas(READ_GAS)
        .setFunctionParameters(Buffer.from(encodeGetCall(root).slice(2), 'hex'))
        .setMaxQueryPayment(new Hbar(1))
        .execute(client);
      const entry = decodeGet(`0x${Buffer.from(result.bytes).toString('hex')}`);
      if (entry === undefined) throw new Error('the contract answered with no entry');
      const originId = entry.originId.toString(16).padStart(16, '0');
      return entry.anchoredAt === 0n
        ? { root, isAnchored: false }
        : {
            root,
            isAnchored: true,
            anchoredAt: entry.anchoredAt.toString(),
            originId,
            size: entry.treeSize.toString(),
          };
    }),
};

/** Throws on an unknown verb or option, a missing one, and what the network refuses. */
export async function runContract(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Answer> {
  const [name = '', ...rest] = args;
  const verb = Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
  if (verb === undefined) throw new Error(`no verb ${name}; there are ${Object.keys(VERBS).join(', ')}`);
  const { values } = parseArgs({ args: rest, options: OPTIONS, strict: true });
  return verb(values, env);
}

async function readLedger(values: Values, env: NodeJS.ProcessEnv): Promise<LedgerConfig> {
  const file = values.ledger ?? env.PROOFLINE_LEDGER_FILE;
  if (file === undefined) throw new Error('--ledger FILE or PROOFLINE_LEDGER_FILE is needed');
  return parseLedgerConfig(await readFile(file, 'utf8'));
}

async function withClient(
  values: Values,
  env: NodeJS.ProcessEnv,
  work: (client: Client) => Promise<Answer>,
): Promise<Answer> {
  const { network, nodes } = await readLedger(values, env);
  const key = await PrivateKey.fromPem(await readFile(need(values, 'key-file'), 'utf8'));
  const client =
    Object.keys(nodes).length > 0
      ? Client.forNetwork({ ...nodes }, { scheduleNetworkUpdate: false })
      : Client.forName(network, { scheduleNetworkUpdate: false });
  try {
    client.setOperator(AccountId.fromString(need(values, 'operator')), key).setDefaultRegenerateTransactionId(false);
    return await work(client);
  } finally {
    client.close();
  }
}

function entryOf(values: Values) {
  const root = Buffer.from(rootOf(need(values, 'root')).slice(2), 'hex');
  const size = need(values, 'size');
  if (!/^[1-9][0-9]{0,18}$/.test(size)) throw new Error('--size is a decimal number');
  const entry = registryEntryOf(buildAnchorMessage({ origin: need(values, 'origin'), size: BigInt(size), root }));
  if (entry === undefined) throw new Error('the contract has no arguments for this checkpoint');
  return entry;
}

function rootOf(text: string): string {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.length !== 32 || bytes.toString('base64url') !== text) throw new Error('--root is 32 bytes in base64url');
  return `0x${bytes.toString('hex')}`;
}

function addressOf(text: string): string {
  const id = parseEntityId(text);
  if (id !== undefined) return longZeroAddress(id.num);
  if (!/^0x[0-9a-f]{40}$/.test(text)) throw new Error(`${text} is neither an account (0.0.x) nor an address`);
  return text;
}

function need(values: Values, name: keyof typeof OPTIONS): string {
  const value = values[name];
  if (value === undefined) throw new Error(`--${name} is needed`);
  return value;
}
