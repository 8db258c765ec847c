/** The thread in which the virtual machine of one simulated network runs; `evm-host.ts` waits for each answer. */
import { type MessagePort, workerData } from 'node:worker_threads';
import { createEvm } from './evm.ts';
import type { EvmRequest } from './evm-host.ts';

const { port, signal } = workerData as { port: MessagePort; signal: Int32Array };
const evm = createEvm();

port.on('message', ({ verb, call }: EvmRequest) => {
  void evm
    .then((machine) => machine[verb](call))
    .then(
      (result) => ({ result }),
      (error: unknown) => ({ error: error instanceof Error ? error.message : 'unknown' }),
    )
    .then((answer) => {
      port.postMessage(answer);
      Atomics.store(signal, 0, 1);
      Atomics.notify(signal, 0);
    });
});
