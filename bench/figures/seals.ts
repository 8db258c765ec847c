import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Agent, request } from 'undici';
import { createSignerClient } from '../../activities/sealing/signer-client.ts';
import { systemClock } from '../../domain/clock.ts';
import { sealHeader, sealSigningInput } from '../../domain/seal.ts';
import { localKeyPaths, readPair } from '../../local/keys/ensure-local-keys.ts';
import type { BenchContext, Section } from '../figure.ts';
import { cpuBetween, readUse } from '../process-use.ts';
import { show, spreadOf } from '../statistics.ts';

const SIGNER_MAIN = fileURLToPath(new URL('../../local/signer/main.ts', import.meta.url));
/** Batch size and how many of them are under way. */
const SHAPES = [
  [1, 1],
  [1, 16],
  [10, 8],
  [100, 6],
  [1_000, 4],
] as const;
const STATEMENT_BYTES = 600;
const BODIES = 8;

interface Rate {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/**
 * Seals a second through mutual TLS by batch size: the signer alone, asked with bodies made beforehand whose answers are
 * only read, and through the client of production, which verifies every signature on the same cores.
 */
export async function measureSeals({ quick, say }: BenchContext): Promise<Section> {
  const dir = await mkdtemp(join(tmpdir(), 'proofline-seals-'));
  const { child, url } = await startSigner(dir);
  const keys = localKeyPaths(dir);
  const agent = new Agent({
    connect: { ca: await readFile(keys.transportCaFile), ...(await readPair(keys.clients.worker)) },
    connections: 16,
  });
  const clock = systemClock();
  const client = createSignerClient({ url, caFile: keys.transportCaFile, ...keys.clients.worker, clock });
  const seconds = quick ? 2 : 8;
  const table = [
    ['batch', 'at once', 'signed per s', 'p50 / p99 ms', 'signer CPU µs each', 'signed and verified per s'],
  ];
  try {
    for (const [size, atOnce] of SHAPES) {
      const bodies = Array.from({ length: BODIES }, () => bodyOf(valuesOf(size)));
      let turn = 0;
      const bare = async (): Promise<void> => {
        const { statusCode, body } = await request(`${url}/v1/keys/seal/sign`, {
          method: 'POST',
          dispatcher: agent,
          headers: { 'content-type': 'application/json', 'idempotency-key': randomBytes(32).toString('hex') },
          body: bodies[turn++ % BODIES] ?? '',
        });
        const answer = await body.arrayBuffer();
        if (statusCode !== 200) throw new Error(`the signer answers ${statusCode}: ${Buffer.from(answer)}`);
      };
      await measure(bare, 1, atOnce, 0.5);
      const before = await readUse({ signer: child.pid ?? null });
      const signed = await measure(bare, size, atOnce, seconds);
      const cpu = cpuBetween(before, await readUse({ signer: child.pid ?? null }))[0]?.[1] ?? Number.NaN;
      const verified = await measure(
        async () => {
          const values = valuesOf(size);
          await client.sign({ kid: 'seal', version: 1, alg: 'ES256', kind: 'tbs', values, context: {} });
        },
        size,
        atOnce,
        seconds,
      );
      say(`batches of ${size}, ${atOnce} at once: ${show(signed.perSecond)}/s, verified ${show(verified.perSecond)}/s`);
      table.push([
        `${size}`,
        `${atOnce}`,
        show(signed.perSecond),
        `${show(signed.p50Ms)} / ${show(signed.p99Ms)}`,
        show((cpu * 1_000_000) / (signed.perSecond * seconds)),
        show(verified.perSecond),
      ]);
    }
  } finally {
    await Promise.all([agent.destroy(), client.close()]);
    child.kill();
    await once(child, 'exit');
    await rm(dir, { recursive: true });
  }
  return {
    title: 'Seals through mutual TLS',
    method: `The development signer as a process, ES256 keys in software, statements of ${STATEMENT_BYTES} bytes; ${seconds} s each, closed loop from one process over TLS 1.3 on loopback. Every answer is kept on disk before it is given. First with bodies made beforehand, then through the client of production, which builds each request and verifies each signature on the same cores.`,
    table,
    notes: [
      'Aim ≥ 20,000 signed per s in batches. OpenSSL signs 21,000 to 29,000 P-256 digests a second on one such core and verifies 6,000 to 12,000.',
    ],
  };
}

async function measure(run: () => Promise<void>, each: number, atOnce: number, seconds: number): Promise<Rate> {
  const latencies: number[] = [];
  const started = performance.now();
  const end = started + seconds * 1_000;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let at = performance.now(); at < end; at = performance.now()) {
        await run();
        latencies.push(performance.now() - at);
      }
    }),
  );
  const { p50, p99 } = spreadOf(latencies);
  return { perSecond: (latencies.length * each * 1_000) / (performance.now() - started), p50Ms: p50, p99Ms: p99 };
}

const header = sealHeader('seal', 1);

function valuesOf(size: number): Uint8Array[] {
  return Array.from({ length: size }, () => {
    const id = randomBytes(16).toString('hex');
    return sealSigningInput(header, Buffer.from(`{"id":"${id}","text":"${'x'.repeat(STATEMENT_BYTES - 50)}"}`));
  });
}

function bodyOf(values: readonly Uint8Array[]): string {
  const texts = values.map((value) => Buffer.from(value).toString('base64url'));
  return JSON.stringify({ version: 1, alg: 'ES256', input: { kind: 'tbs', values: texts }, context: {} });
}

async function startSigner(dir: string): Promise<{ readonly child: ChildProcess; readonly url: string }> {
  const child = spawn(process.execPath, [SIGNER_MAIN], {
    env: { PATH: process.env.PATH, PROOFLINE_KEYS_DIR: dir, PROOFLINE_SIGNER_PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    text += chunk.toString();
    const url = /"event":"listening","url":"([^"]+)"/.exec(text)?.[1];
    if (url !== undefined) return { child, url };
  }
  throw new Error(`the signer ended: ${text}`);
}
