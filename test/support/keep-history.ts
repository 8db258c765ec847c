import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';

/** The type of history that the SDK's client fetches. */
type History = Parameters<typeof historyToJSON>[0];

const ROOT = new URL('../../', import.meta.url);
const FOLDER = new URL('../replay/histories/', import.meta.url);

/**
 * Keeps a history as golden when tests run with RECORD_HISTORIES=1; the replay tests then hold every later change of
 * the workflow against it. Never edit one by hand: without the SDK's flags in it a replay misses renames.
 */
export async function keepHistory(type: string, path: string, history: History): Promise<void> {
  if (process.env.RECORD_HISTORIES !== '1') return;
  const folder = new URL(`${type}/`, FOLDER);
  await mkdir(folder, { recursive: true });
  // Traces name the clone's folder; replay does not read them.
  const text = historyToJSON(history).replaceAll(fileURLToPath(ROOT), '');
  await writeFile(new URL(`${path}.json`, folder), `${text}\n`);
}
