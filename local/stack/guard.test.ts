import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';

const GUARD = fileURLToPath(new URL('./guard.ts', import.meta.url));

/** A process that starts a guard and a child which ignores SIGTERM, says the child's number, and waits to be killed. */
const PARENT = `
import { spawn } from 'node:child_process';
import { startGuard } from ${JSON.stringify(GUARD)};
const guard = startGuard();
const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { detached: true, stdio: 'ignore' });
guard.watch(child.pid, 'SIGTERM');
console.log(child.pid);
setInterval(() => {}, 1000);
`;

describe('the guard', () => {
  it('ends what it watches when its parent is killed with -9', async () => {
    const parent = spawn(process.execPath, ['--input-type=module', '-e', PARENT], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(line.toString());
    expect(isAlive(pid)).toBe(true);
    parent.kill('SIGKILL');
    const deadline = Date.now() + 10_000;
    while (isAlive(pid) && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(isAlive(pid)).toBe(false);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
