import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systemClock } from '../../domain/clock.ts';
import { type Admin, openAdmin } from './admin-client.ts';
import { parseKeysCommand, runKeysCommand } from './keys-command.ts';
import { type RunningSigner, startSigner } from './start-signer.ts';

let dir: string;
let signer: RunningSigner;
let admin: Admin;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'proofline-keys-'));
  signer = await startSigner({ dir, clock: systemClock() });
  admin = await openAdmin({ url: signer.url, caFile: signer.keys.transportCaFile, ...signer.keys.clients.admin });
});
afterAll(async () => {
  await admin.close();
  await signer.stop();
  await rm(dir, { recursive: true });
});

const run = (...args: string[]): Promise<string> => runKeysCommand(parseKeysCommand(args), admin);
const rows = (text: string): string[] => text.split('\n').map((line) => line.split(/ {2,}/).slice(0, 4).join('|'));

describe('npm run keys', () => {
  it('lists the keys of the running signer, the version that signs marked', async () => {
    expect(rows(await run('list'))).toEqual(
      expect.arrayContaining(['key|purpose|alg|state', 'seal@1 *|seal|ES256|active', 'mac@1 *|hmac|HS256|active']),
    );
  });

  it('rotates after an announcement, retires and marks as compromised', async () => {
    const announced = rows(await run('rotate', 'seal'));
    expect(announced.slice(1)).toEqual(['seal@1 *|seal|ES256|active', 'seal@2|seal|ES256|pre-active']);
    const rotated = rows(await run('rotate', 'certificate', '--announce', '0s', '--overlap', '2h'));
    expect(rotated.slice(1)).toEqual([
      'certificate@1|certificate|ES256|active',
      'certificate@2 *|certificate|ES256|active',
    ]);
    expect(rows(await run('retire', 'certificate@1'))[1]).toBe('certificate@1|certificate|ES256|verify-only');
    const at = '2026-01-31T08:00:00Z';
    expect(await run('mark-compromised', 'certificate@1', '--at', at)).toContain('2026-01-31T08:00:00.000Z');
    await expect(run('rotate', 'nothing')).rejects.toThrow('not_found');
    await expect(run('retire', 'seal@7')).rejects.toThrow('not_found');
  });

  it.each([
    [['rotate'], 'which key?'],
    [['retire', 'seal'], 'named like seal@1'],
    [['mark-compromised', 'seal@1'], '--at is the first moment'],
    [['mark-compromised', 'seal@1', '--at', 'yesterday'], '--at is the first moment'],
    [['rotate', 'seal', '--overlap', '1 week'], 'is not a period'],
    [['list', '--at', '2026-01-31T08:00:00Z'], 'list takes no --at'],
    [['export', 'seal'], 'there is no export'],
  ])('refuses %j', (args, reason) => {
    expect(() => parseKeysCommand(args)).toThrow(reason);
  });
});
