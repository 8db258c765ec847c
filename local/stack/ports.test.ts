import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { freePort, requireFreePorts } from './ports.ts';
import { runCommand } from './run-command.ts';

const PORTS_URL = new URL('./ports.ts', import.meta.url).href;
const CHOOSE = `import { freePort } from ${JSON.stringify(PORTS_URL)};
const ports = []; for (let i = 0; i < 26; i++) ports.push(await freePort()); console.log(JSON.stringify(ports));`;

/** What a process of its own chooses for a whole local system, none of which it listens on yet. */
async function chooseElsewhere(): Promise<number[]> {
  const found = await runCommand(process.execPath, ['--input-type=module', '-e', CHOOSE], { timeoutMs: 20_000 });
  return JSON.parse(found.output) as number[];
}

describe('freePort', () => {
  it('gives processes that start side by side no port in common, and none that an outgoing connection may be given', async () => {
    const ports = (await Promise.all([chooseElsewhere(), chooseElsewhere(), chooseElsewhere()])).flat();
    expect(new Set(ports).size).toBe(78);
    expect(Math.max(...ports)).toBeLessThan(32_768);
  });

  it('passes over a port that somebody listens on', async () => {
    const next = (await freePort()) + 1;
    const server = createServer().listen(next, '127.0.0.1');
    await once(server, 'listening');
    try {
      expect(await freePort()).toBe(next + 1);
    } finally {
      server.close();
    }
  });
});

describe('requireFreePorts', () => {
  it('accepts ports that nobody has', async () => {
    await expect(requireFreePorts({ api: await freePort() })).resolves.toBeUndefined();
  });

  it('names each taken port, what wanted it and who has it', async () => {
    const port = await freePort();
    const server = createServer().listen(port, '127.0.0.1');
    await once(server, 'listening');
    try {
      const refused = expect(requireFreePorts({ api: port, tsa: await freePort() })).rejects;
      await refused.toThrow(new RegExp(`port ${port} \\(api\\) is taken by process ${process.pid} `));
    } finally {
      server.close();
    }
  });
});
