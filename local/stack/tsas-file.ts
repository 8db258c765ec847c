import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LocalKeys } from '../keys/ensure-local-keys.ts';
import { LOCAL_TSA_POLICY } from '../tsa/policy.ts';
import { tsaSecondUrl, tsaUrl } from './local-parts.ts';
import type { StackPorts } from './stack-ports.ts';
import { writeAtomically } from './write-atomically.ts';

/** Writes PROOFLINE_TSAS_FILE, which names the two local authorities; returns its path. Their certificates say where lists are. */
export async function writeTsasFile(dataDir: string, ports: StackPorts, keys: LocalKeys): Promise<string> {
  const [first, second] = await Promise.all(
    [keys.tsaRoot, keys.tsaSecond.root].map(({ certFile }) => readFile(certFile, 'utf8')),
  );
  const path = join(dataDir, 'tsas.json');
  const authorities = [
    { name: 'local', url: tsaUrl(ports), roots: [first] },
    { name: 'local-second', url: tsaSecondUrl(ports), roots: [second] },
  ].map((one) => ({ ...one, policies: [LOCAL_TSA_POLICY], selfOperated: true }));
  await writeAtomically(path, `${JSON.stringify(authorities, undefined, 2)}\n`);
  return path;
}
