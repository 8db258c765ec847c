/** The address of revocation lists stands in certificates, so it stays the same for as long as its folder of data does. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { localKeyPaths } from '../keys/ensure-local-keys.ts';
import { writeDurably } from '../keys/write-durably.ts';
import { crlUrl } from './local-parts.ts';
import type { StackPorts } from './stack-ports.ts';

const baseFile = (dataDir: string): string => localKeyPaths(join(dataDir, 'keys')).crlBaseFile;

/** The ports, with the one of revocation lists that certificates of this folder name already. */
export async function keepCrlPort(dataDir: string, ports: StackPorts): Promise<StackPorts> {
  const base = await readFile(baseFile(dataDir), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    return '';
  });
  const port = Number(/:(\d+)\/\s*$/.exec(base)?.[1] ?? ports.crl);
  return { ...ports, crl: port };
}

/** Writes the address down, before the first certificate is made. */
export async function nameCrlBase(dataDir: string, ports: StackPorts): Promise<void> {
  await writeDurably(baseFile(dataDir), `${crlUrl(ports)}\n`);
}
