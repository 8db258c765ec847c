/** One consensus node on a socket: unary gRPC `/proto.<Service>/<method>` in plain text, as the SDK speaks it. */
import {
  type handleUnaryCall,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { proto } from '@hiero-ledger/proto';
import type { FaultEffect, Faults } from './faults.ts';
import type { Ledger } from './ledger.ts';
import { answerQuery } from './queries.ts';
import { decodeTransaction } from './transaction.ts';
import { codeOf, type Status, topicText } from './wire.ts';

const MAX_REQUEST_BYTES = 64 * 1_024;

export interface CallRecord {
  readonly node: string;
  readonly method: string;
  readonly transactionId: string;
  readonly outcome: string;
}

export interface NodeContext {
  readonly ledger: Ledger;
  readonly faults: Faults;
  readonly record: (call: CallRecord) => void;
}

/** Methods by service; anything else of these services answers NOT_SUPPORTED instead of hanging. */
const TRANSACTIONS: Readonly<Record<string, readonly string[]>> = {
  ConsensusService: ['createTopic', 'updateTopic', 'deleteTopic', 'submitMessage'],
  CryptoService: [
    'createAccount',
    'updateAccount',
    'cryptoTransfer',
    'cryptoDelete',
    'approveAllowances',
    'deleteAllowances',
  ],
  FileService: ['createFile', 'updateFile', 'deleteFile', 'appendContent'],
  SmartContractService: ['createContract', 'updateContract', 'contractCallMethod', 'deleteContract', 'callEthereum'],
  TokenService: ['createToken', 'mintToken', 'burnToken', 'associateTokens', 'deleteToken'],
  ScheduleService: ['createSchedule', 'signSchedule', 'deleteSchedule'],
  UtilService: ['prng', 'atomicBatch'],
};
const QUERIES: Readonly<Record<string, readonly string[]>> = {
  ConsensusService: ['getTopicInfo'],
  CryptoService: [
    'getTransactionReceipts',
    'getTxRecordByTxID',
    'getAccountInfo',
    'cryptoGetBalance',
    'getAccountRecords',
  ],
  NetworkService: ['getVersionInfo', 'getAccountDetails', 'getExecutionTime'],
  FileService: ['getFileContent', 'getFileInfo'],
  SmartContractService: ['contractCallLocalMethod', 'getContractInfo'],
  TokenService: ['getTokenInfo'],
  ScheduleService: ['getScheduleInfo'],
};

/** Binds a node to `host:port` (port 0: any); resolves to the port. */
export async function startNodeServer(
  context: NodeContext,
  node: string,
  host: string,
  port: number,
): Promise<{ port: number; stop: () => void }> {
  const server = new Server({ 'grpc.max_receive_message_length': MAX_REQUEST_BYTES });
  for (const service of new Set([...Object.keys(TRANSACTIONS), ...Object.keys(QUERIES)])) {
    const definition: Record<string, MethodDefinition<Buffer, Buffer>> = {};
    const implementation: UntypedServiceImplementation = {};
    const add = (method: string, handler: handleUnaryCall<Buffer, Buffer>): void => {
      definition[method] = unary(`/proto.${service}/${method}`);
      implementation[method] = handler;
    };
    for (const method of TRANSACTIONS[service] ?? [])
      add(
        method,
        answerCall(context, node, method, (bytes) => answerTransaction(context, node, bytes)),
      );
    for (const method of QUERIES[service] ?? [])
      add(
        method,
        answerCall(context, node, method, (bytes, failWith) => answer(context, node, bytes, failWith)),
      );
    server.addService(definition, implementation);
  }
  const bound = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`${host}:${port}`, ServerCredentials.createInsecure(), (error, at) =>
      error ? reject(error) : resolve(at),
    ),
  );
  return { port: bound, stop: () => server.forceShutdown() };
}

interface CallAnswer {
  readonly bytes: Uint8Array;
  readonly transactionId: string;
  readonly outcome: string;
}

function answerTransaction({ ledger }: NodeContext, node: string, bytes: Uint8Array): CallAnswer {
  const status = ledger.submit(node, bytes);
  return { ...precheck(status), transactionId: decodeTransaction(bytes)?.id ?? '' };
}

function precheck(status: Status): CallAnswer {
  const bytes = proto.TransactionResponse.encode({ nodeTransactionPrecheckCode: codeOf(status) }).finish();
  return { bytes, transactionId: '', outcome: status };
}

function answer({ ledger }: NodeContext, node: string, bytes: Uint8Array, failWith?: Status): CallAnswer {
  const query = proto.Query.decode(bytes);
  const response = answerQuery(ledger, node, query, failWith);
  return { bytes: proto.Response.encode(response).finish(), transactionId: '', outcome: query.query ?? 'none' };
}

/** Runs one call through the faults: refused before, lost after, slow, or never answered. */
function answerCall(
  context: NodeContext,
  node: string,
  method: string,
  work: (bytes: Uint8Array, failWith?: Status) => CallAnswer,
): handleUnaryCall<Buffer, Buffer> {
  const isTransaction = Object.values(TRANSACTIONS).some((methods) => methods.includes(method));
  return (call, callback) => {
    const effect = context.faults.take(isTransaction ? 'ingest' : 'query', {
      node,
      type: method,
      ...factsOf(isTransaction, call.request),
    });
    const finish = (result: CallAnswer): void => {
      context.record({ node, method, transactionId: result.transactionId, outcome: outcomeOf(effect, result) });
      if (effect !== undefined && 'drop' in effect) return;
      if (effect !== undefined && 'grpc' in effect) callback({ code: effect.grpc, details: 'injected' });
      else callback(null, Buffer.from(result.bytes));
    };
    try {
      if (effect !== undefined && 'grpc' in effect && effect.when === 'before')
        return finish({ bytes: new Uint8Array(), transactionId: '', outcome: '' });
      if (effect !== undefined && 'precheck' in effect)
        return finish(isTransaction ? precheck(effect.precheck) : work(call.request, effect.precheck));
      if (effect !== undefined && 'delayMs' in effect) {
        setTimeout(() => finish(work(call.request)), effect.delayMs).unref();
        return;
      }
      finish(work(call.request));
    } catch (error) {
      callback({ code: 3, details: error instanceof Error ? error.message : 'malformed request' });
    }
  };
}

function factsOf(isTransaction: boolean, bytes: Uint8Array): { payer?: string; topic?: string } {
  const transaction = isTransaction ? decodeTransaction(bytes) : undefined;
  const topic = transaction?.body.consensusSubmitMessage?.topicID;
  return {
    ...(transaction === undefined ? {} : { payer: transaction.payer }),
    ...(topic == null ? {} : { topic: topicText(topic) }),
  };
}

function outcomeOf(effect: FaultEffect | undefined, result: CallAnswer): string {
  return effect === undefined ? result.outcome : `${result.outcome} (fault ${JSON.stringify(effect)})`;
}

function unary(path: string) {
  const identity = (bytes: Buffer): Buffer => bytes;
  return {
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  };
}
