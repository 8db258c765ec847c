/** A client of one consensus node without the SDK: sends whatever bytes it is given. For what the SDK would not send. */
import { Client, credentials } from '@grpc/grpc-js';
import { proto } from '@hiero-ledger/proto';
import { signByEd25519, signTransaction } from './sign-transaction.ts';
import type { HederaSim } from './start-hedera-sim.ts';
import { accountId, nanosToTime, type Status, toLong } from './wire.ts';

const DEADLINE_MS = 5_000;

export interface RawClient {
  /** The precheck of a transaction. Rejects with grpc-js's error. */
  submit(transactionBytes: Uint8Array, method?: string): Promise<Status>;
  ask(query: proto.IQuery, method: string): Promise<proto.Response>;
  close(): void;
}

/** `address`: `127.0.2.3:50211`. */
export function createRawClient(address: string): RawClient {
  // A connection of its own: those of other clients may be waiting after a failure.
  const client = new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  const call = (path: string, bytes: Uint8Array): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      const same = (value: Buffer): Buffer => value;
      const options = { deadline: Date.now() + DEADLINE_MS };
      client.makeUnaryRequest(path, same, same, Buffer.from(bytes), options, (error, answer) =>
        answer === undefined || error ? reject(error ?? new Error('no answer')) : resolve(answer),
      );
    });
  return {
    async submit(transactionBytes, method = 'ConsensusService/submitMessage') {
      const answer = proto.TransactionResponse.decode(await call(`/proto.${method}`, transactionBytes));
      return proto.ResponseCodeEnum[answer.nodeTransactionPrecheckCode] as Status;
    },
    ask: async (query, method) =>
      proto.Response.decode(await call(`/proto.${method}`, proto.Query.encode(query).finish())),
    close: () => client.close(),
  };
}

export interface MessageOptions {
  readonly topic?: string;
  readonly node?: string;
  readonly payer?: string;
  readonly message?: Uint8Array;
  readonly memo?: string;
  /** Of another transaction: this one is its copy. */
  readonly startNanos?: bigint;
  /** From now to the start of validity. Default −5,000. */
  readonly startInMs?: number;
  readonly validSeconds?: number;
  readonly maxFeeTinybars?: bigint;
}

let starts = 0n;

/** The body of a message that a node would accept, if nothing is wrong with the options; each with an id of its own. */
export function messageBody(sim: HederaSim, options: MessageOptions = {}): proto.ITransactionBody {
  const { startInMs = -5_000, validSeconds = 120, maxFeeTinybars = 100_000_000n } = options;
  // A nanosecond more each time, since the clock may not have moved on: every id is another.
  starts += 1n;
  const startNanos =
    options.startNanos ?? sim.clock.ingestNanos() + BigInt(startInMs) * 1_000_000n + (starts % 1_000_000n);
  const [shard = '0', realm = '0', num = '0'] = (options.topic ?? '0.0.999999').split('.');
  return {
    transactionID: {
      accountID: accountId(options.payer ?? sim.operatorId),
      transactionValidStart: nanosToTime(startNanos),
    },
    nodeAccountID: accountId(options.node ?? '0.0.3'),
    transactionFee: toLong(maxFeeTinybars),
    transactionValidDuration: { seconds: toLong(BigInt(validSeconds)) },
    memo: options.memo ?? '',
    consensusSubmitMessage: {
      topicID: { shardNum: toLong(BigInt(shard)), realmNum: toLong(BigInt(realm)), topicNum: toLong(BigInt(num)) },
      message: options.message ?? Buffer.from('hello'),
    },
  };
}

/** Signed by the operator. */
export const signedMessage = (sim: HederaSim, options: MessageOptions = {}): Uint8Array =>
  signTransaction(messageBody(sim, options), [signByEd25519(sim.operatorKey)]);
