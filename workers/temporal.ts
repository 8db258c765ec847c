import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Runtime } from '@temporalio/worker';
import type { Logger } from 'pino';
import type { RelayConfig, WorkerConfig } from './config.ts';

const RECONNECT_MS = 500;

/** Sends the logs of the SDK's core through ours. Once a process, before anything else of the SDK. */
export function installRuntime(logger: Logger): void {
  Runtime.install({
    // The entry point stops everything in order; the SDK's own handlers would stop the workers first.
    shutdownSignals: [],
    logger: {
      log: (level, message, meta) =>
        logger[level === 'WARN' ? 'warn' : level === 'ERROR' ? 'error' : 'debug']({ ...meta }, message),
      trace: (message, meta) => logger.trace({ ...meta }, message),
      debug: (message, meta) => logger.debug({ ...meta }, message),
      info: (message, meta) => logger.info({ ...meta }, message),
      warn: (message, meta) => logger.warn({ ...meta }, message),
      error: (message, meta) => logger.error({ ...meta }, message),
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
