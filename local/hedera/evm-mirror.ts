/** A mirror's routes for contracts: the contract, the result of a transaction, the logs of a contract. */
import { CHAIN_ID, type EvmLog } from './evm.ts';
import { type Contract, type ContractRun, errorMessageOf } from './evm-state.ts';
import { blockHash, blockNumberAt } from './mirror-blocks.ts';
import { isVisible, type MirrorContext } from './mirror-context.ts';
import { keyJson } from './mirror-json.ts';
import {
  type Answer,
  BadParameter,
  cut,
  linkAfter,
  type MirrorRequest,
  normaliseId,
  notFound,
  ok,
  parseTimestamp,
  readPage,
  readRange,
} from './mirror-query.ts';
import type { HandledTransaction } from './state.ts';
import { nanosToText } from './wire.ts';

const MAX_TOPICS = 4;
/** Logs are searched by topic within this range at most. */
const SEARCH_NANOS = 7n * 86_400_000_000_000n;
const NO_BLOOM = `0x${'00'.repeat(256)}`;

type Json = Record<string, unknown>;
type Ran = HandledTransaction & { readonly contract: ContractRun };

const hexOf = (bytes: Uint8Array): string => `0x${Buffer.from(bytes).toString('hex')}`;

/** By `0.0.x` or by address. */
export function contractById({ context, params }: MirrorRequest): Answer {
  const contract = visibleContract(context, params.id);
  return contract === undefined ? notFound : ok(contractJson(contract));
}

/** The result of the first copy of a transaction that the virtual machine ran, by id or by hash. */
export function contractResult({ context, params }: MirrorRequest): Answer {
  const text = params.id ?? '';
  const match = /^(\d+\.\d+\.\d+)[-@](\d{1,19})[-.](\d{1,9})$/.exec(text);
  const hash = /^0x([0-9a-f]{64}|[0-9a-f]{96})$/.exec(text);
  if (match === null && hash === null) throw new BadParameter('transactionIdOrHash');
  const rows =
    match === null
      ? context.state.transactions.filter((row) => hexOf(row.hash).startsWith(text))
      : (context.state.byId.get(`${match[1]}@${match[2]}.${(match[3] ?? '').padStart(9, '0')}`) ?? []);
  const row = rows.filter(isRun).find((one) => isVisible(context, one));
  return row === undefined ? notFound : ok(resultJson(context, row));
}

/** Newest first by default. A search by topic wants a range of at most seven days. */
export function contractLogs({ context, params, url }: MirrorRequest): Answer {
  const contract = visibleContract(context, params.id);
  if (contract === undefined) return notFound;
  const page = readPage(url, 'desc');
  const inTime = readRange(url, 'timestamp', parseTimestamp);
  const topics = Array.from({ length: MAX_TOPICS }, (_, i) => url.searchParams.get(`topic${i}`)?.toLowerCase());
  if (topics.some((topic) => topic !== undefined && !/^(?:0x)?[0-9a-f]{1,64}$/.test(topic)))
    throw new BadParameter('topic');
  if (topics.some((topic) => topic !== undefined) && !isBoundedRange(url)) throw new BadParameter('timestamp');
  const isWanted = (log: EvmLog): boolean =>
    topics.every(
      (topic, i) => topic === undefined || BigInt(`0x${topic.replace(/^0x/, '')}`) === wordOf(log.topics[i]),
    );
  const rows = context.state.transactions
    .filter(isRun)
    .filter((row) => isVisible(context, row) && inTime(row.consensusNanos))
    .flatMap((row) => row.contract.result.logs.map((log, index) => ({ row, log, index })))
    .filter(({ log }) => hexOf(log.address) === hexOf(contract.address) && isWanted(log));
  const shown = cut(rows, page);
  const last = shown.at(-1);
  const cursor = { name: 'timestamp', last: last === undefined ? undefined : nanosToText(last.row.consensusNanos) };
  return ok({
    links: { next: linkAfter(url, page, cursor, shown.length === rows.length) },
    logs: shown.map(({ row, log, index }) => ({
      ...logJson(contract, log, index),
      ...blockJson(context, row),
      root_contract_id: contract.id,
      timestamp: nanosToText(row.consensusNanos),
      transaction_hash: hexOf(row.hash.subarray(0, 32)),
      transaction_index: 0,
    })),
  });
}

function isBoundedRange({ searchParams }: URL): boolean {
  const bounds = searchParams.getAll('timestamp').map((text) => {
    const [op, bound] = text.includes(':') ? (text.split(':', 2) as [string, string]) : ['eq', text];
    return { op, nanos: parseTimestamp(bound) ?? 0n };
  });
  if (bounds.some(({ op }) => op === 'eq')) return true;
  const from = bounds.find(({ op }) => op.startsWith('gt'));
  const to = bounds.find(({ op }) => op.startsWith('lt'));
  return from !== undefined && to !== undefined && to.nanos - from.nanos <= SEARCH_NANOS;
}

const wordOf = (topic: Uint8Array | undefined): bigint => (topic === undefined ? -1n : BigInt(hexOf(topic)));

function visibleContract(context: MirrorContext, text = ''): Contract | undefined {
  const { byId } = context.state.contracts;
  const address = /^(?:0x)?([0-9a-f]{40})$/i.exec(text)?.[1]?.toLowerCase();
  const id = address === undefined ? normaliseId(text) : undefined;
  if (address === undefined && id === undefined) throw new BadParameter('contractIdOrAddress');
  const contract =
    id === undefined ? [...byId.values()].find((one) => hexOf(one.address) === `0x${address}`) : byId.get(id);
  return contract !== undefined && isVisible(context, { handledAtMs: contract.createdAtMs }) ? contract : undefined;
}

function isRun(row: HandledTransaction): row is Ran {
  return row.contract !== undefined;
}

function contractJson(contract: Contract): Json {
  return {
    admin_key: keyJson(contract.adminKey),
    auto_renew_account: null,
    auto_renew_period: 7_776_000,
    bytecode: hexOf(contract.initcode),
    contract_id: contract.id,
    created_timestamp: nanosToText(contract.createdNanos),
    deleted: false,
    evm_address: hexOf(contract.address),
    expiration_timestamp: null,
    file_id: null,
    max_automatic_token_associations: 0,
    memo: contract.memo,
    nonce: 1,
    obtainer_id: null,
    permanent_removal: null,
    proxy_account_id: null,
    runtime_bytecode: hexOf(contract.code),
    timestamp: { from: nanosToText(contract.createdNanos), to: null },
  };
}

function resultJson(context: MirrorContext, row: Ran): Json {
  const { contract: run } = row;
  const { result } = run;
  const contract = context.state.contracts.byId.get(run.contractId);
  const isSuccess = row.status === 'SUCCESS';
  return {
    access_list: '0x',
    address: hexOf(run.to),
    amount: Number(run.amount),
    block_gas_used: Number(result.gasUsed),
    ...blockJson(context, row),
    bloom: NO_BLOOM,
    call_result: hexOf(result.output),
    chain_id: `0x${CHAIN_ID.toString(16)}`,
    contract_id: isSuccess || !run.isCreation ? run.contractId : null,
    created_contract_ids: isSuccess && run.isCreation ? [run.contractId] : [],
    error_message: errorMessageOf(result) ?? null,
    failed_initcode: run.isCreation && !isSuccess ? hexOf(run.input) : null,
    from: hexOf(run.from),
    function_parameters: hexOf(run.input),
    gas_consumed: Number(result.gasUsed),
    gas_limit: Number(run.gasLimit),
    gas_price: '0x',
    gas_used: Number(result.gasUsed),
    hash: hexOf(row.hash.subarray(0, 32)),
    logs: contract === undefined ? [] : result.logs.map((log, index) => logJson(contract, log, index)),
    max_fee_per_gas: '0x',
    max_priority_fee_per_gas: '0x',
    nonce: null,
    r: null,
    result: row.status,
    s: null,
    state_changes: [],
    status: isSuccess ? '0x1' : '0x0',
    timestamp: nanosToText(row.consensusNanos),
    to: hexOf(run.to),
    transaction_index: 0,
    type: null,
    v: null,
  };
}

function blockJson(context: MirrorContext, row: Ran): Json {
  const number = blockNumberAt(context, row.consensusNanos);
  return { block_hash: `0x${blockHash(context, number)}`, block_number: number };
}

function logJson(contract: Contract, log: EvmLog, index: number): Json {
  return {
    address: hexOf(log.address),
    bloom: NO_BLOOM,
    contract_id: contract.id,
    data: hexOf(log.data),
    index,
    topics: log.topics.map(hexOf),
  };
}
