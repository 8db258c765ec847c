/** A mirror's gRPC interface: a topic's messages as a stream, history first, then live; and the address book. */
import { Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';
import { com, proto } from '@hiero-ledger/proto';
import type { FaultEffect, Faults } from './faults.ts';
import type { Ledger } from './ledger.ts';
import { isVisible, type MirrorContext } from './mirror-context.ts';
import { certificateHashHex, rsaPublicKeyHex } from './node-identity.ts';
import type { CallRecord } from './node-server.ts';
import type { Topic, TopicMessage } from './state.ts';
import { accountId, nanosToTime, timeToNanos, toBig, toLong, topicText } from './wire.ts';

type Stream = ServerWritableStream<Buffer, Buffer>;
const mirror = com.hedera.mirror.api.proto;
const INVALID_ARGUMENT = 3;
const NOT_FOUND = 5;
const ADDRESS_BOOK_FILES = [0n, 101n, 102n];

export interface MirrorGrpcOptions {
  readonly ledger: Ledger;
  readonly context: MirrorContext;
  readonly faults: Faults;
  /** 0 is the first. */
  readonly instance: number;
  readonly host: string;
  /** 0: any. */
  readonly port: number;
  readonly record: (call: CallRecord) => void;
  readonly die: () => void;
}

/** Resolves to the port. */
export async function startMirrorGrpc(options: MirrorGrpcOptions): Promise<{ port: number; stop: () => void }> {
  const server = new Server({ 'grpc.max_receive_message_length': 64 * 1_024 });
  server.addService(
    { subscribeTopic: streaming('ConsensusService/subscribeTopic') },
    { subscribeTopic: faulty(options, 'mirrorGrpc', 'subscribeTopic', (call) => subscribeTopic(options, call)) },
  );
  server.addService(
    { getNodes: streaming('NetworkService/getNodes') },
    { getNodes: faulty(options, 'getNodes', 'getNodes', (call) => sendNodes(options.context, call)) },
  );
  const bound = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`${options.host}:${options.port}`, ServerCredentials.createInsecure(), (error, at) =>
      error ? reject(error) : resolve(at),
    ),
  );
  return { port: bound, stop: () => server.forceShutdown() };
}

/** Runs one call through the faults. `after` a stream means: its rows were sent, then it broke. */
function faulty(
  { faults, instance, record, die }: MirrorGrpcOptions,
  place: 'mirrorGrpc' | 'getNodes',
  method: string,
  work: (call: Stream) => void,
) {
  const breakOff = (call: Stream, effect: FaultEffect): void => {
    if ('grpc' in effect) call.emit('error', { code: effect.grpc, details: 'injected' });
  };
  const act = (call: Stream, effect: FaultEffect): void => {
    if ('kill' in effect) die();
    else if ('delayMs' in effect) setTimeout(() => work(call), effect.delayMs).unref();
    else if ('grpc' in effect && effect.when === 'after') {
      call.end = (() => {
        breakOff(call, effect);
        return call;
      }) as typeof call.end;
      work(call);
    } else if (!('drop' in effect)) breakOff(call, effect);
  };
  return (call: Stream): void => {
    const effect = faults.take(place, { node: String(instance), type: method });
    const outcome = effect === undefined ? 'OK' : `(fault ${JSON.stringify(effect)})`;
    record({ node: `mirror-${instance}`, method, transactionId: '', outcome });
    if (effect === undefined) work(call);
    else act(call, effect);
  };
}

function subscribeTopic({ ledger, context }: MirrorGrpcOptions, call: Stream): void {
  const query = mirror.ConsensusTopicQuery.decode(call.request);
  const topic = ledger.state.topics.get(topicText(query.topicID));
  if (topic === undefined || !isVisible(context, { handledAtMs: topic.createdAtMs })) {
    call.emit('error', { code: NOT_FOUND, details: 'Topic does not exist' });
    return;
  }
  const from = timeToNanos(query.consensusStartTime);
  const until = query.consensusEndTime == null ? undefined : timeToNanos(query.consensusEndTime);
  if (until !== undefined && until < from) {
    call.emit('error', { code: INVALID_ARGUMENT, details: 'End time must be after start time' });
    return;
  }
  streamRows({ ledger, context, call, topic, from, until, limit: Number(toBig(query.limit)) });
}

interface Subscription {
  readonly ledger: Ledger;
  readonly context: MirrorContext;
  readonly call: Stream;
  readonly topic: Topic;
  readonly from: bigint;
  readonly until: bigint | undefined;
  /** 0: none. */
  readonly limit: number;
}

/** Sends rows in their order as they become visible: after consensus and the lag, after a pause, after the clock moved. */
function streamRows({ ledger, context, call, topic, from, until, limit }: Subscription): void {
  let next = 0;
  let sent = 0;
  let timer: NodeJS.Timeout | undefined;
  const flush = (): void => {
    clearTimeout(timer);
    let isOver = false;
    let row = topic.messages[next];
    for (; !isOver && row !== undefined && isVisible(context, row); row = topic.messages[++next]) {
      isOver = until !== undefined && row.consensusNanos >= until;
      if (isOver || row.consensusNanos < from) continue;
      call.write(Buffer.from(encodeMessage(row)));
      sent += 1;
      isOver = sent === limit;
    }
    const now = context.clock.nowMs();
    if (isOver || (until !== undefined && context.clock.nowNanos() >= until)) {
      stop();
      call.end();
      return;
    }
    // A row that is not visible yet, or the end, by whichever comes first; a pause or a held clock ends by itself.
    const waits = [
      ...(row === undefined ? [] : [row.handledAtMs + context.control.lagMs - now]),
      ...(until === undefined ? [] : [Number(until / 1_000_000n) + 1 - now]),
    ];
    if (waits.length > 0) timer = setTimeout(flush, clamp(Math.min(...waits))).unref();
  };
  const unlisten = [
    ledger.onHandled(({ message }) => {
      if (message?.topic === topic.id) flush();
    }),
    context.clock.onMove(flush),
    context.control.onChange(flush),
  ];
  const stop = (): void => {
    for (const end of unlisten) end();
    clearTimeout(timer);
  };
  call.on('cancelled', stop);
  flush();
}

/** What a paused mirror waits for may lie in the past: it looks again now and then, not at once. */
const clamp = (ms: number): number => (ms <= 0 ? 100 : Math.min(ms, 60_000));

function encodeMessage(row: TopicMessage): Uint8Array {
  const [account = '', start = ''] = row.initialTransaction.id.split('@');
  const [seconds = '0', nanos = '0'] = start.split('.');
  return mirror.ConsensusTopicResponse.encode({
    consensusTimestamp: nanosToTime(row.consensusNanos),
    message: row.message,
    runningHash: row.runningHash,
    runningHashVersion: toLong(3n),
    sequenceNumber: toLong(row.sequenceNumber),
    chunkInfo: {
      initialTransactionID: {
        accountID: accountId(account),
        transactionValidStart: { seconds: toLong(BigInt(seconds)), nanos: Number(nanos) },
      },
      number: row.initialTransaction.number,
      total: row.initialTransaction.total,
    },
  }).finish();
}

/** Both files of the address book hold every node, its plain port and its TLS port. */
function sendNodes({ book }: MirrorContext, call: Stream): void {
  const query = mirror.AddressBookQuery.decode(call.request);
  if (!ADDRESS_BOOK_FILES.includes(toBig(query.fileId?.fileNum))) {
    call.emit('error', { code: NOT_FOUND, details: 'Address book does not exist' });
    return;
  }
  const limit = query.limit > 0 ? query.limit : book.nodes.length;
  for (const node of book.nodes.slice(0, limit)) {
    const ipAddressV4 = Uint8Array.from(node.host.split('.').map(Number));
    const ports = [node.port, node.tlsPort].filter((port) => port !== undefined);
    const bytes = proto.NodeAddress.encode({
      nodeId: toLong(BigInt(node.index)),
      nodeAccountId: accountId(node.accountId),
      RSA_PubKey: rsaPublicKeyHex(node.identity),
      nodeCertHash: Buffer.from(certificateHashHex(node.identity), 'utf8'),
      description: `simulated node ${node.index}`,
      serviceEndpoint: ports.map((port) => ({ ipAddressV4, port })),
    }).finish();
    call.write(Buffer.from(bytes));
  }
  call.end();
}

function streaming(method: string) {
  const identity = (bytes: Buffer): Buffer => bytes;
  return {
    path: `/com.hedera.mirror.api.proto.${method}`,
    requestStream: false,
    responseStream: true,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  };
}
