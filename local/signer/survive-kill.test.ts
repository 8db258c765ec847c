import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Agent, request } from 'undici';
import { sealHeader, sealSigningInput } from '../../domain/seal.ts';
import { localKeyPaths, readPair } from '../keys/ensure-local-keys.ts';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
let dir: string;
let child: ChildProcess;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'proofline-killed-'));
});
afterAll(async () => {
  child.kill('SIGKILL');
  await rm(dir, { recursive: true });
});

/** Starts the signer as a process; resolves to its address. */
async function start(): Promise<string> {
  child = spawn(process.execPath, [MAIN], {
    env: { PATH: process.env.PATH, PROOFLINE_KEYS_DIR: dir, PROOFLINE_SIGNER_PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    text += chunk.toString();
    const url = /"event":"listening","url":"([^"]+)"/.exec(text)?.[1];
    if (url !== undefined) return url;
  }
  throw new Error(`the signer ended: ${text}`);
}

describe('a signer killed with -9', () => {
  it('gives the same bytes afterwards for each kind of request, though its signatures are random', async () => {
    const requests: [string, unknown][] = [
      [
        'seal/sign',
        {
          alg: 'ES256',
          input: {
            kind: 'tbs',
            values: Array.from({ length: 100 }, (_, n) =>
              Buffer.from(sealSigningInput(sealHeader('seal', 1), Buffer.from(`{"n":${n}}`))).toString('base64url'),
            ),
          },
        },
      ],
      [
        'certificate/sign',
        {
          alg: 'ES256',
          input: {
            kind: 'tbs',
            values: [
              Buffer.from(
                `${Buffer.from('{"alg":"ES256","kid":"certificate@1","typ":"proofline-certificate+jwt"}').toString('base64url')}.e30`,
              ).toString('base64url'),
            ],
          },
        },
      ],
      ['mac/mac', { values: ['AAEC'] }],
      ['secrets/encrypt', { values: ['AAEC'], aad: 'dA' }],
    ];
    const ask = async (url: string): Promise<string[]> => {
      const keys = localKeyPaths(dir);
      const agent = new Agent({
        connect: { ca: await readFile(keys.transportCaFile), ...(await readPair(keys.clients.worker)) },
      });
      try {
        return await Promise.all(
          requests.map(async ([path, value]) => {
            const body = JSON.stringify(value);
            const response = await request(`${url}/v1/keys/${path}`, {
              method: 'POST',
              dispatcher: agent,
              headers: {
                'content-type': 'application/json',
                'idempotency-key': createHash('sha256').update(body).digest('hex'),
              },
              body,
            });
            return `${response.statusCode} ${await response.body.text()}`;
          }),
        );
      } finally {
        await agent.destroy();
      }
    };
    const before = await ask(await start());
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(before.every((answer) => answer.startsWith('200 '))).toBe(true);
    expect(await ask(await start())).toEqual(before);
  }, 60_000);
});
