import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { freePort, requireFreePorts } from './ports.ts';

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
