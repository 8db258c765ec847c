/**
 * The virtual machine as the ledger uses it: one answer per question, at once. Consensus handles transactions one
 * after the other without pause, and the machine's library knows promises only, so it runs in a thread of its own for
 * which this one waits: some milliseconds a call, 30 s at most. The thread starts with the first call.
 */
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { EvmCall, EvmResult } from './evm.ts';

const PATIENCE_MS = 30_000;

export interface EvmRequest {
  readonly verb: 'create' | 'call' | 'view';
  readonly call: EvmCall;
}

export interface EvmHost {
  create(call: EvmCall): EvmResult;
  call(call: EvmCall): EvmResult;
  view(call: EvmCall): EvmResult;
  close(): void;
}

export function createEvmHost(): EvmHost {
  let thread: { ask: (request: EvmRequest) => EvmResult; end: () => void } | undefined;
  const ask = (request: EvmRequest): EvmResult => {
    thread ??= startThread();
    return thread.ask(request);
  };
  return {
    create: (call) => ask({ verb: 'create', call }),
    call: (call) => ask({ verb: 'call', call }),
    view: (call) => ask({ verb: 'view', call }),
    close() {
      thread?.end();
      thread = undefined;
    },
  };
}

function startThread() {
  const signal = new Int32Array(new SharedArrayBuffer(4));
  const { port1, port2 } = new MessageChannel();
  const worker = new Worker(new URL('./evm-worker.ts', import.meta.url), {
    workerData: { port: port2, signal },
    transferList: [port2],
  });
  worker.unref();
  port1.unref();
  return {
    ask(request: EvmRequest): EvmResult {
      Atomics.store(signal, 0, 0);
      port1.postMessage(request);
      if (Atomics.wait(signal, 0, 0, PATIENCE_MS) === 'timed-out')
        throw new Error(`the virtual machine did not answer within ${PATIENCE_MS} ms`);
      const { message } = receiveMessageOnPort(port1) as { message: { result?: EvmResult; error?: string } };
      if (message.result === undefined) throw new Error(`the virtual machine failed: ${message.error ?? 'unknown'}`);
      return message.result;
    },
    end() {
      port1.close();
      void worker.terminate();
    },
  };
}
