import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LocalKeys } from '../keys/ensure-local-keys.ts';
import { LOCAL_TSA_POLICY } from '../tsa/policy.ts';
import { tsaUrl } from './local-parts.ts';
import type { StackPorts } from './stack-ports.ts';
import { writeAtomically } from './write-atomically.ts';

/** Writes PROOFLINE_TSAS_FILE, which names the local authority alone; returns its path. */
export async function writeTsasFile(dataDir: string, ports: StackPorts, keys: LocalKeys): Promise<string> {
  const [root, crl] = await Promise.all([
    readFile(keys.tsaRoot.certFile, 'utf8'),
    readFile(keys.tsaRoot.crlFile, 'utf8'),
  ]);
  const path = join(dataDir, 'tsas.json');
  const authority = {
    name: 'local',
    url: tsaUrl(ports),
    policies: [LOCAL_TSA_POLICY],
    roots: [root],
    crls: [crl],
    selfOperated: true,
  };
  await writeAtomically(path, `${JSON.stringify([authority], undefined, 2)}\n`);
  return path;
}
