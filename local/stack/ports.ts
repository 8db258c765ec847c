import { readdir, readFile, readlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { findProcess } from './find-process.ts';
import { runCommand } from './run-command.ts';

/**
 * Below 32768, where Linux, macOS and Windows begin to hand out ports to outgoing connections: a port chosen among those
 * may be some client's by the time its server listens.
 */
const FIRST_PORT = 16_384;
const LAST_PORT = 32_767;

/** Ports of one process before it comes to those of its neighbour: a whole local system takes 26. */
const PORTS_PER_PROCESS = 64;

let chosen = 0;

/**
 * A free loopback TCP port that this process has not chosen before. Processes that start side by side choose in stretches of their own,
 * so none is given what the other was given and does not listen on yet. Throws where every port is taken.
 */
export async function freePort(): Promise<number> {
  const ports = LAST_PORT - FIRST_PORT + 1;
  for (let tried = 0; tried < ports; tried++) {
    const port = FIRST_PORT + ((process.pid * PORTS_PER_PROCESS + chosen++) % ports);
    if (await isFree(port)) return port;
  }
  throw new Error(`no port from ${FIRST_PORT} to ${LAST_PORT} is free`);
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
