/** The mirrors of a network on their sockets: each with a REST interface, a gRPC interface, a lag and a pause of its own. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Faults } from './faults.ts';
import type { Ledger } from './ledger.ts';
import type { MirrorContext, MirrorControl } from './mirror-context.ts';
import { startMirrorGrpc } from './mirror-grpc.ts';
import { startMirrorRest } from './mirror-rest.ts';
import type { CallRecord } from './node-server.ts';

export interface MirrorAddress {
  readonly host: string;
  /** 0: any. */
  readonly port: number;
}

export interface MirrorPlace {
  readonly rest: MirrorAddress;
  /** The same interface at these too. */
  readonly alsoRest: readonly MirrorAddress[];
  readonly grpc: MirrorAddress;
}

export interface RunningMirror {
  readonly control: MirrorControl;
  /** Without a trailing slash or path: `http://127.0.2.200:40001`. */
  readonly restUrl: string;
  /** `127.0.2.200:5600`. */
  readonly grpcAddress: string;
  /** Takes both interfaces off their ports. */
  stop(): Promise<void>;
  /** Under the same ports again. */
  start(): Promise<void>;
}

export interface RunningMirrorOptions {
  readonly ledger: Ledger;
  readonly context: MirrorContext;
  readonly faults: Faults;
  readonly instance: number;
  readonly place: MirrorPlace;
  readonly record: (call: CallRecord) => void;
}

export async function startMirror(options: RunningMirrorOptions): Promise<RunningMirror> {
  let { rest: restAt, grpc: grpcAt } = options.place;
  let rest: Server[] = [];
  let grpc: { stop: () => void } | undefined;
  const stop = async (): Promise<void> => {
    const [servers, stream] = [rest, grpc];
    rest = [];
    grpc = undefined;
    stream?.stop();
    await Promise.all(servers.map(closeServer));
  };
  const die = (): void => {
    void stop();
  };
  const start = async (): Promise<void> => {
    if (rest.length > 0) return;
    const shared = { ...options, die };
    const first = await startMirrorRest({ ...shared, ...restAt });
    rest = [first];
    restAt = { host: restAt.host, port: (first.address() as AddressInfo).port };
    for (const at of options.place.alsoRest) rest.push(await startMirrorRest({ ...shared, ...at }));
    const bound = await startMirrorGrpc({ ...shared, ...grpcAt });
    grpcAt = { host: grpcAt.host, port: bound.port };
    grpc = bound;
  };
  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    control: options.context.control,
    get restUrl() {
      return `http://${restAt.host}:${restAt.port}`;
    },
    get grpcAddress() {
      return `${grpcAt.host}:${grpcAt.port}`;
    },
    stop,
    start,
  };
}

/** Ends every connection, those in use too. */
export function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
