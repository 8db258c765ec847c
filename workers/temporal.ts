import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Runtime } from '@temporalio/worker';
import type { Logger } from 'pino';
import type { RelayConfig, WorkerConfig } from './config.ts';

const RECONNECT_MS = 500;

/** Sends the logs of the SDK's core through ours. Once a process, before anything else of the SDK. */
export function installRuntime(logger: Logger): void {
  // Errors are written whole only under the name that the logger's serializer knows.
  const facts = ({ error, ...meta }: Record<string, unknown> = {}): object => ({
    ...meta,
    ...(error === undefined ? {} : { err: error }),
  });
  Runtime.install({
    // The entry point stops everything in order; the SDK's own handlers would stop the workers first.
    shutdownSignals: [],
    logger: {
      log: (level, message, meta) =>
        logger[level === 'WARN' ? 'warn' : level === 'ERROR' ? 'error' : 'debug'](facts(meta), message),
      trace: (message, meta) => logger.trace(facts(meta), message),
      debug: (message, meta) => logger.debug(facts(meta), message),
      info: (message, meta) => logger.info(facts(meta), message),
      warn: (message, meta) => logger.warn(facts(meta), message),
      error: (message, meta) => logger.error(facts(meta), message),
    },
  });
}

/** Waits for the server as long as it takes: a worker without Temporal has nothing else to do. */
export async function connectWorkers(
  config: WorkerConfig,
  logger: Logger,
  signal: AbortSignal,
): Promise<NativeConnection> {
  for (let tries = 1; ; tries++) {
    signal.throwIfAborted();
    try {
      return await NativeConnection.connect({ address: config.temporalAddress });
    } catch (error) {
      if (tries % 20 === 1)
        logger.warn({ err: error, address: config.temporalAddress }, 'Temporal does not answer yet');
      await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
    }
  }
}

/** A client that connects at its first call and again after each loss. */
export function createTemporalClient(config: RelayConfig): Client {
  return new Client({
    connection: Connection.lazy({ address: config.temporalAddress }),
    namespace: config.temporalNamespace,
  });
}
