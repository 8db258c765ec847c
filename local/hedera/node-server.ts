/** One consensus node on its sockets: unary gRPC `/proto.<Service>/<method>`, in plain text and over TLS, as the SDK speaks it. */
import {
  type handleUnaryCall,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { proto } from '@hiero-ledger/proto';
import type { FaultEffect, FaultPlace, Faults } from './faults.ts';
import type { Ledger } from './ledger.ts';
import type { NodeIdentity } from './node-identity.ts';
import { answerQuery } from './queries.ts';
import { type CallKind, SERVICES } from './services.ts';
import { decodeTransaction } from './transaction.ts';
import { codeOf, type Status, topicText, transactionIdText } from './wire.ts';

const MAX_REQUEST_BYTES = 64 * 1_024;
const RECEIPT_METHODS = ['getTransactionReceipts', 'getTxRecordByTxID'];

export interface CallRecord {
  /** `0.0.3`, or a mirror: `mirror-0`. */
  readonly node: string;
  readonly method: string;
  readonly transactionId: string;
  readonly outcome: string;
}

export interface NodeContext {
  readonly ledger: Ledger;
  readonly faults: Faults;
  readonly record: (call: CallRecord) => void;
  /** Of this node, which may change while it runs. */
  readonly accountId: () => string;
  readonly areBalancesBusy: () => boolean;
  /** Takes this node off its ports at once, whatever it was doing. */
  readonly die: () => void;
}

export interface Listener {
  readonly host: string;
  /** 0: any. */
  readonly port: number;
  /** Plain text without it. */
  readonly tls?: NodeIdentity;
}

/** Binds a node to every listener; resolves to their ports, in their order. */
export async function startNodeServer(
  context: NodeContext,
  listeners: readonly Listener[],
): Promise<{ readonly ports: readonly number[]; readonly stop: () => void }> {
  const server = new Server({ 'grpc.max_receive_message_length': MAX_REQUEST_BYTES });
  for (const [service, methods] of SERVICES) {
    const definition: Record<string, MethodDefinition<Buffer, Buffer>> = {};
    const implementation: UntypedServiceImplementation = {};
    for (const [method, kind] of methods) {
      definition[method] = unary(`/proto.${service}/${method}`);
      implementation[method] = answerCall(context, method, kind);
    }
    server.addService(definition, implementation);
  }
  const ports: number[] = [];
  try {
    for (const { host, port, tls } of listeners) ports.push(await bind(server, `${host}:${port}`, tls));
  } catch (error) {
    server.forceShutdown();
    throw error;
  }
  return { ports, stop: () => server.forceShutdown() };
}

function bind(server: Server, address: string, tls: NodeIdentity | undefined): Promise<number> {
  const credentials =
    tls === undefined
      ? ServerCredentials.createInsecure()
      : ServerCredentials.createSsl(null, [
          { private_key: Buffer.from(tls.privateKey), cert_chain: Buffer.from(tls.certificate) },
        ]);
  return new Promise((resolve, reject) =>
    server.bindAsync(address, credentials, (error, port) => (error ? reject(error) : resolve(port))),
  );
}

interface CallAnswer {
  readonly bytes: Uint8Array;
  readonly transactionId: string;
  readonly outcome: string;
}

function answerTransaction({ ledger, accountId }: NodeContext, bytes: Uint8Array, ordered?: Status): CallAnswer {
  const status = ledger.submit(accountId(), bytes, ordered);
  return {
    bytes: proto.TransactionResponse.encode({ nodeTransactionPrecheckCode: codeOf(status) }).finish(),
    transactionId: decodeTransaction(bytes)?.id ?? '',
    outcome: status,
  };
}

async function answerOneQuery(context: NodeContext, bytes: Uint8Array, effect?: FaultEffect): Promise<CallAnswer> {
  const { ledger, accountId, areBalancesBusy } = context;
  const query = proto.Query.decode(bytes);
  const asked = query.transactionGetReceipt?.transactionID ?? query.transactionGetRecord?.transactionID;
  const failWith = effect !== undefined && 'precheck' in effect ? effect.precheck : undefined;
  const response = await answerQuery(
    { ledger, node: accountId(), failWith, areBalancesBusy: areBalancesBusy() },
    query,
  );
  const said = effect !== undefined && 'status' in effect ? withStatus(response, effect.status) : response;
  return {
    bytes: proto.Response.encode(said).finish(),
    transactionId: asked ? transactionIdText(asked) : '',
    outcome: outcomeOfQuery(said),
  };
}

/** A receipt that says another status than the transaction had. */
function withStatus(response: proto.IResponse, status: Status): proto.IResponse {
  const { transactionGetReceipt: answer } = response;
  return answer?.receipt
    ? { transactionGetReceipt: { ...answer, receipt: { ...answer.receipt, status: codeOf(status) } } }
    : response;
}

function outcomeOfQuery(response: proto.IResponse): string {
  const [member, answer] = Object.entries(response)[0] as [string, { header?: proto.IResponseHeader }];
  const code = answer.header?.nodeTransactionPrecheckCode ?? 0;
  return `${member} ${proto.ResponseCodeEnum[code]}`;
}

/** Runs one call through the faults: refused before, lost after, slow, never answered, or the node's end. */
function answerCall(context: NodeContext, method: string, kind: CallKind): handleUnaryCall<Buffer, Buffer> {
  const place: FaultPlace = kind === 'transaction' ? 'ingest' : RECEIPT_METHODS.includes(method) ? 'receipt' : 'query';
  const work = async (bytes: Uint8Array, effect: FaultEffect | undefined): Promise<CallAnswer> => {
    if (kind === 'query') return answerOneQuery(context, bytes, effect);
    return answerTransaction(
      context,
      bytes,
      effect !== undefined && 'precheck' in effect ? effect.precheck : undefined,
    );
  };
  return (call, callback) => {
    const node = context.accountId();
    const effect = context.faults.take(place, { node, type: method, ...factsOf(kind, call.request) });
    const record = (result: Pick<CallAnswer, 'transactionId' | 'outcome'>): void =>
      context.record({ node, method, transactionId: result.transactionId, outcome: outcomeOf(effect, result.outcome) });
    if (effect !== undefined && 'kill' in effect && effect.when !== 'after') {
      record({ transactionId: decodeIfTransaction(kind, call.request)?.id ?? '', outcome: '' });
      context.die();
      return;
    }
    if (effect !== undefined && 'grpc' in effect && effect.when === 'before') {
      record({ transactionId: decodeIfTransaction(kind, call.request)?.id ?? '', outcome: '' });
      callback({ code: effect.grpc, details: 'injected' });
      return;
    }
    const answer = (): void => {
      work(call.request, effect).then(
        (result) => {
          record(result);
          if (effect !== undefined && 'drop' in effect) return;
          if (effect !== undefined && 'kill' in effect) context.die();
          else if (effect !== undefined && 'grpc' in effect) callback({ code: effect.grpc, details: 'injected' });
          else callback(null, Buffer.from(result.bytes));
        },
        (error: unknown) =>
          callback({ code: 3, details: error instanceof Error ? error.message : 'malformed request' }),
      );
    };
    if (effect !== undefined && 'delayMs' in effect) setTimeout(answer, effect.delayMs).unref();
    else answer();
  };
}

const decodeIfTransaction = (kind: CallKind, bytes: Uint8Array) =>
  kind === 'transaction' ? decodeTransaction(bytes) : undefined;

function factsOf(kind: CallKind, bytes: Uint8Array): { payer?: string; topic?: string } {
  const transaction = decodeIfTransaction(kind, bytes);
  const topic = transaction?.body.consensusSubmitMessage?.topicID;
  return {
    ...(transaction === undefined ? {} : { payer: transaction.payer }),
    ...(topic == null ? {} : { topic: topicText(topic) }),
  };
}

function outcomeOf(effect: FaultEffect | undefined, outcome: string): string {
  return effect === undefined ? outcome : `${outcome} (fault ${JSON.stringify(effect)})`.trim();
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
