/**
 * A yardstick for the machine itself: a virtual machine's cores are now a third faster, now a third slower, as their
 * neighbours let them, and a figure says little without it.
 */
import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

const FOR_MS = 500;

/** P-256 signatures that all cores together verify a second, measured for half a second. */
export async function measureCores(): Promise<number> {
  const counts = Array.from(
    { length: availableParallelism() },
    () =>
      new Promise<number>((resolve, reject) => {
        new Worker(fileURLToPath(import.meta.url)).once('message', resolve).once('error', reject);
      }),
  );
  const total = (await Promise.all(counts)).reduce((sum, one) => sum + one, 0);
  return total / (FOR_MS / 1_000);
}

function countVerified(): number {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const data = Buffer.alloc(600, 7);
  const signature = sign('sha256', data, privateKey);
  let count = 0;
  for (const endMs = performance.now() + FOR_MS; performance.now() < endMs; count++)
    verify('sha256', data, publicKey, signature);
  return count;
}

if (!isMainThread) parentPort?.postMessage(countVerified());
