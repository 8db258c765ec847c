import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { introspect } from './introspect.ts';
import { ownerUrl } from './owner-url.ts';

export const SCHEMA_FILE = fileURLToPath(new URL('./schema.prisma', import.meta.url));

/** Writes schema.prisma as the database of `url` has it. */
export async function pull(url: string): Promise<void> {
  writeFileSync(SCHEMA_FILE, await introspect(url));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  void pull(ownerUrl()).then(() => console.log(`Wrote ${SCHEMA_FILE}.`));
}
