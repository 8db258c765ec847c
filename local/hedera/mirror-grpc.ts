/** A mirror's gRPC interface: a topic's messages as a stream, history first, then live; and the address book. */
import { Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';
import { com, proto } from '@hiero-ledger/proto';
import type { Ledger } from './ledger.ts';
import { isVisible, type MirrorContext } from './mirror-view.ts';
import type { TopicMessage } from './state.ts';
import { accountId, nanosToTime, timeToNanos, toBig, toLong, topicText } from './wire.ts';

type Stream = ServerWritableStream<Buffer, Buffer>;
const mirror = com.hedera.mirror.api.proto;
const INVALID_ARGUMENT = 3;

/** Binds `host:port` (port 0: any); resolves to the port. */
export async function startMirrorGrpc(
  ledger: Ledger,
  context: MirrorContext,
  host: string,
  port: number,
): Promise<{ port: number; stop: () => void }> {
  const server = new Server({ 'grpc.max_receive_message_length': 64 * 1_024 });
  server.addService(
    { subscribeTopic: streaming('ConsensusService/subscribeTopic') },
    { subscribeTopic: (call: Stream) => subscribeTopic(ledger, context, call) },
  );
  server.addService(
    { getNodes: streaming('NetworkService/getNodes') },
    { getNodes: (call: Stream) => sendNodes(context, call) },
  );
  const bound = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`${host}:${port}`, ServerCredentials.createInsecure(), (error, at) =>
      error ? reject(error) : resolve(at),
    ),
  );
  return { port: bound, stop: () => server.forceShutdown() };
}

function subscribeTopic(ledger: Ledger, context: MirrorContext, call: Stream): void {
  const query = mirror.ConsensusTopicQuery.decode(call.request);
  const topic = ledger.state.topics.get(topicText(query.topicID));
  if (topic === undefined) {
    call.emit('error', { code: INVALID_ARGUMENT, details: 'unknown topic' });
    return;
  }
  const from = timeToNanos(query.consensusStartTime);
  const until = query.consensusEndTime == null ? undefined : timeToNanos(query.consensusEndTime);
  const limit = Number(toBig(query.limit));
  let sent = 0;
  const send = (row: TopicMessage): void => {
    if (row.topic !== topic.id || row.consensusNanos < from || (limit > 0 && sent >= limit)) return;
    if (until !== undefined && row.consensusNanos >= until) {
      stop();
      call.end();
      return;
    }
    call.write(Buffer.from(encodeMessage(row)));
    sent += 1;
    if (limit > 0 && sent >= limit) {
      stop();
      call.end();
    }
  };
  const timers = new Set<NodeJS.Timeout>();
  const unlisten = ledger.onHandled(({ message }) => {
    if (message === undefined) return;
    const timer = setTimeout(() => {
      timers.delete(timer);
      send(message);
    }, context.control.lagMs).unref();
    timers.add(timer);
  });
  const stop = (): void => {
    unlisten();
    for (const timer of timers) clearTimeout(timer);
  };
  call.on('cancelled', stop);
  for (const row of topic.messages) if (isVisible(context, row)) send(row);
}

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

function sendNodes({ nodes }: MirrorContext, call: Stream): void {
  for (const [i, [id, address]] of [...nodes].entries()) {
    const [host = '', port = '0'] = address.split(':');
    const endpoint = { ipAddressV4: Uint8Array.from(host.split('.').map(Number)), port: Number(port) };
    const node = { nodeId: toLong(BigInt(i)), nodeAccountId: accountId(id), serviceEndpoint: [endpoint] };
    call.write(Buffer.from(proto.NodeAddress.encode(node).finish()));
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
