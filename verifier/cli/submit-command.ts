import { randomUUID } from 'node:crypto';
import { basename, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Digest } from '../../domain/digest.ts';
import type { TrustDocument } from '../../domain/trust.ts';
import { verifyBundle } from '../verify.ts';
import { type ApiClient, createApiClient, type Submission } from './api-client.ts';
import { readArguments, WrongCall } from './arguments.ts';
import { hashFile, readTextIfThere, writeWhole } from './files.ts';
import { readTrustFile } from './trust-file.ts';

export const SUBMIT_USAGE = `  proofline submit FILE… [--wait] [--timeout SECONDS] [--api URL] [--key KEY] [--out DIR]
      sends the SHA-256 digests of files, never the files
      --wait    waits until they are certified and writes NAME.bundle.json into DIR (default: here)
      --api, --key  default: PROOFLINE_API_URL, PROOFLINE_API_KEY, or .proofline/local.json of a running system`;

const OPTIONS = {
  wait: { type: 'boolean', default: false },
  timeout: { type: 'string', default: '600' },
  api: { type: 'string' },
  key: { type: 'string' },
  out: { type: 'string', default: '.' },
} as const;

const LOCAL_FILE = join('.proofline', 'local.json');
/** What one JSON body of 1 MiB surely holds. */
const MAX_PER_SUBMISSION = 5_000;
const CERTIFIED = new Set(['CERTIFIED', 'CERTIFIED_NO_ANCHOR']);

interface Item {
  readonly path: string;
  readonly digest: Digest;
  proof?: string;
  state?: string;
}

/** Returns the exit code: 0 when all were accepted and, with --wait, certified. Throws WrongCall, or Error. */
export async function runSubmit(args: readonly string[]): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  if (positionals.length === 0) throw new WrongCall('a file is missing');
  const timeoutMs = Number(values.timeout) * 1000;
  if (!(timeoutMs >= 0 && timeoutMs <= 86_400_000)) throw new WrongCall('--timeout takes seconds up to a day');
  const { apiUrl, apiKey } = await findApi(values.api, values.key);
  const client = createApiClient(apiUrl, apiKey, (ms) => pause(ms));
  const items: Item[] = [];
  for (const path of positionals) items.push({ path, digest: await hashFile(path, 'sha-256') });
  const deadline = Date.now() + timeoutMs;
  const submissions: Submission[] = [];
  for (let at = 0; at < items.length; at += MAX_PER_SUBMISSION) {
    const part = items.slice(at, at + MAX_PER_SUBMISSION);
    const submission = await client.submit(
      part.map(({ digest }) => digest),
      randomUUID(),
    );
    apply(submission, part);
    submissions.push(submission);
  }
  for (const { path, proof, digest } of items) print(`${path}  ${digest.value}  accepted as ${proof ?? 'nothing'}`);
  if (!values.wait) return items.every(({ proof }) => proof !== undefined) ? 0 : 1;
  for (const [i, { id }] of submissions.entries())
    await waitUntilFinal(client, id, items.slice(i * MAX_PER_SUBMISSION, (i + 1) * MAX_PER_SUBMISSION), deadline);
  return writeBundles(client, items, values.out);
}

/** Flags before environment before the file that a running system leaves. */
async function findApi(url: string | undefined, key: string | undefined): Promise<{ apiUrl: string; apiKey: string }> {
  const local = JSON.parse((await readTextIfThere(LOCAL_FILE, 65_536)) ?? '{}') as {
    apiUrl?: unknown;
    apiKey?: unknown;
  };
  const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
  const apiUrl = url ?? text(process.env.PROOFLINE_API_URL) ?? text(local.apiUrl);
  const apiKey = key ?? text(process.env.PROOFLINE_API_KEY) ?? text(local.apiKey);
  if (apiUrl === undefined || apiKey === undefined)
    throw new WrongCall(`no API: give --api and --key, or start a system here (${LOCAL_FILE} names it)`);
  if (!URL.canParse(apiUrl)) throw new WrongCall(`--api ${JSON.stringify(apiUrl)} is not a URL`);
  return { apiUrl, apiKey };
}

function apply(submission: Submission, items: readonly Item[]): void {
  for (const { index, id, state, error } of submission.items) {
    const item = items[index];
    if (item === undefined) continue;
    if (id !== undefined) item.proof = id;
    const now = state ?? error?.code;
    if (now !== undefined) item.state = now;
  }
}

/** Prints each change of the states on standard error. */
async function waitUntilFinal(client: ApiClient, id: string, items: readonly Item[], deadline: number): Promise<void> {
  let shown = '';
  for (;;) {
    const seconds = Math.max(0, Math.min(30, Math.ceil((deadline - Date.now()) / 1000)));
    // Short at first, so that progress is seen; the server answers at once when all is final.
    const submission = await client.waitFor(id, Math.min(seconds, shown === '' ? 1 : 5));
    apply(submission, items);
    const states = summarise(items);
    if (states !== shown) process.stderr.write(`  ${states}\n`);
    shown = states;
    if (submission.final || seconds === 0) return;
  }
}

function summarise(items: readonly Item[]): string {
  const counts = new Map<string, number>();
  for (const { state = 'unknown' } of items) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].map(([state, count]) => `${count} ${state}`).join(', ');
}

async function writeBundles(client: ApiClient, items: readonly Item[], folder: string): Promise<number> {
  const trust = (await readTrustFile(undefined))?.trust;
  const taken = new Set<string>();
  let code = 0;
  for (const { path, proof, state = 'unknown', digest } of items) {
    if (proof === undefined || !CERTIFIED.has(state)) {
      print(`${path}  ${state}: no certificate yet`);
      code = 1;
      continue;
    }
    const text = await client.readBundle(proof);
    const name = basename(path);
    const file = join(folder, taken.has(name) ? `${name}.${proof.slice(0, 8)}.bundle.json` : `${name}.bundle.json`);
    taken.add(name);
    await writeWhole(file, text);
    const overall = await judge(text, digest, trust);
    if (overall === 'invalid') code = 1;
    print(`${path}  ${state}  ${file}  verified: ${overall}`);
  }
  return code;
}

async function judge(text: string, digest: Digest, trust: TrustDocument | undefined): Promise<string> {
  const { overall } = await verifyBundle(text, {
    nowMs: Date.now(),
    digest,
    ...(trust === undefined ? {} : { trust }),
  });
  return trust === undefined ? `${overall} (no trust file)` : overall;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
