import { readdir, readFile, readlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { findProcess } from './find-process.ts';
import { runCommand } from './run-command.ts';

/** A loopback TCP port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        typeof address === 'object' && address !== null ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}

/** Refuses ports that somebody listens on. Throws one error that names each, what wanted it, and who has it. */
export async function requireFreePorts(ports: Readonly<Record<string, number>>): Promise<void> {
  const taken: string[] = [];
  for (const [name, port] of Object.entries(ports)) {
    if (await isFree(port)) continue;
    taken.push(`  port ${port} (${name}) is taken by ${(await portOwner(port)) ?? 'a process of another user'}`);
  }
  if (taken.length > 0) {
    throw new Error(
      `These ports are not free:\n${taken.join('\n')}\nStop what holds them, or shift all ports with PROOFLINE_PORT_BASE (e.g. 20000).`,
    );
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** `process 123 (node local/start.ts)`, as far as this user may see it. */
async function portOwner(port: number): Promise<string | undefined> {
  const pid = process.platform === 'linux' ? await listenerOnLinux(port) : await listenerByLsof(port);
  if (pid === undefined) return undefined;
  const found = await findProcess(Number(pid));
  return `process ${pid}${found === undefined ? '' : ` (${found.command.slice(0, 120)})`}`;
}

async function listenerOnLinux(port: number): Promise<string | undefined> {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  const inodes = new Set<string>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of (await readFile(table, 'utf8').catch(() => '')).split('\n').slice(1)) {
      const field = line.trim().split(/\s+/);
      // State 0A is LISTEN.
      if (field[3] === '0A' && field[1]?.endsWith(`:${wanted}`)) inodes.add(`socket:[${field[9]}]`);
    }
  }
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '');
      if (inodes.has(target)) return pid;
    }
  }
  return undefined;
}

async function listenerByLsof(port: number): Promise<string | undefined> {
  const found = await runCommand('lsof', ['-nP', '-t', `-iTCP:${port}`, '-sTCP:LISTEN'], { timeoutMs: 5_000 });
  return found.code === 0 ? found.output.trim().split('\n')[0] : undefined;
}
