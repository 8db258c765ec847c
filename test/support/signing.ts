/** The local signer over its socket, and a client of it with the workers' identity, for all tests of a file. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from '@jest/globals';
import { createSignerClient, type Signer } from '../../activities/sealing/signer-client.ts';
import { systemClock } from '../../domain/clock.ts';
import { type RunningSigner, startSigner } from '../../local/signer/start-signer.ts';

export interface Signing {
  /** Where the signer keeps its keys. */
  readonly dir: string;
  readonly server: RunningSigner;
  readonly signer: Signer;
}

/** Registers the hooks; what it returns is filled in before the first test. */
export function useSigner({ timeoutMs = 5_000 } = {}): Signing {
  const signing = {} as { -readonly [K in keyof Signing]: Signing[K] };
  beforeAll(async () => {
    const clock = systemClock();
    signing.dir = await mkdtemp(join(tmpdir(), 'proofline-signer-'));
    signing.server = await startSigner({ dir: signing.dir, clock });
    const { url, keys } = signing.server;
    signing.signer = createSignerClient({
      url,
      caFile: keys.transportCaFile,
      ...keys.clients.worker,
      clock,
      timeoutMs,
    });
  });
  afterAll(async () => {
    await signing.signer.close();
    await signing.server.stop();
    await rm(signing.dir, { recursive: true, force: true });
  });
  return signing;
}
