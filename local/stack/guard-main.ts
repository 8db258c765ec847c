/**
 * Ends the processes it was told of once its standard input closes, which happens however its parent dies, kill -9
 * included. Lines on standard input: `+<pid> <signal>` watches a process group, `-<pid>` forgets it.
 */
import { createInterface } from 'node:readline';

const GRACE_MS = 8_000;
const POLL_MS = 50;
const watched = new Map<number, NodeJS.Signals>();

// The terminal's Ctrl-C is its parent's business; this process ends after its parent, never before.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const [head, signal] = line.split(' ');
    const pid = Number(head?.slice(1));
    if (!Number.isSafeInteger(pid) || pid <= 1) return;
    if (head?.startsWith('+')) watched.set(pid, signal as NodeJS.Signals);
    else watched.delete(pid);
  })
  .on('close', () => void endAll());

async function endAll(): Promise<void> {
  // Last started, first ended: what uses a database goes before the database.
  for (const [pid, signal] of [...watched].reverse()) signalGroup(pid, signal);
  const deadline = Date.now() + GRACE_MS;
  while (Date.now() < deadline && [...watched.keys()].some((pid) => signalGroup(pid, 0))) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  for (const pid of watched.keys()) signalGroup(pid, 'SIGKILL');
  process.exit(0);
}

function signalGroup(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-pid, signal);
    return true;
  } catch {
    return false;
  }
}
