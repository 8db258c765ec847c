import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { formatApiKey } from '../../domain/api-key.ts';
import { newPasswords, type PostgresPasswords } from '../postgres/start-postgres.ts';
import { writeAtomically } from './write-atomically.ts';

/** What a local system keeps beside the keys of `local/keys`: made once, then read again at each start. */
export interface LocalSecrets {
  readonly instance: string;
  readonly passwords: PostgresPasswords;
  /** Key of the local tenant's root unit, and of the operator. */
  readonly apiKey: string;
  readonly operatorKey: string;
}

export async function readOrMakeSecrets(dataDir: string): Promise<LocalSecrets> {
  const path = join(dataDir, 'keys', 'local-secrets.json');
  try {
    return JSON.parse(await readFile(path, 'utf8')) as LocalSecrets;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
  }
  const secrets: LocalSecrets = {
    instance: randomUUID(),
    passwords: newPasswords(),
    apiKey: formatApiKey('test', randomBytes(24)),
    operatorKey: formatApiKey('test', randomBytes(24)),
  };
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeAtomically(path, `${JSON.stringify(secrets, undefined, 2)}\n`);
  return secrets;
}
