import { readFileSync } from 'node:fs';
import { runCommand } from '../stack/run-command.ts';

export interface Identity {
  readonly uid: number;
  readonly gid: number;
}

export interface RunAs {
  /** Who must own the cluster's files; undefined: the current user. */
  readonly owner?: Identity;
  /** For `spawn`; undefined when `launcher` changes the user itself, or nobody has to. */
  readonly spawnAs?: Identity;
  /** What stands before the program on its command line. */
  readonly launcher: readonly string[];
}

/**
 * Who runs Postgres, which refuses root: the current user, or for root the system's `postgres`, else `nobody`. Where
 * that user cannot reach one of `paths` (a clone below /root), it keeps the right to pass folders and read files,
 * given by util-linux' setpriv. Throws where that is not to be had.
 */
export async function chooseUser(paths: readonly string[]): Promise<RunAs> {
  if (process.getuid?.() !== 0) return { launcher: [] };
  const owner = findUser(['postgres', 'nobody']);
  const script = 'for path do test -x "$path" || exit 1; done';
  const reach = await runCommand('/bin/sh', ['-c', script, 'reach', ...paths], { timeoutMs: 10_000, identity: owner });
  if (reach.code === 0) return { owner, spawnAs: owner, launcher: [] };
  const launcher = [
    'setpriv',
    `--reuid=${owner.uid}`,
    `--regid=${owner.gid}`,
    '--clear-groups',
    '--inh-caps=-all,+dac_read_search',
    '--ambient-caps=+dac_read_search',
  ];
  const tried = await runCommand('setpriv', [...launcher.slice(1), '/bin/sh', '-c', script, 'reach', ...paths], {
    timeoutMs: 10_000,
  });
  if (tried.code === 0) return { owner, launcher };
  throw new Error(
    `Postgres does not run as root, and user ${owner.uid} cannot reach ${paths.join(' or ')}: put this folder where other users can read it, or run as another user`,
  );
}

function findUser(names: readonly string[]): Identity {
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of names) {
    const fields = lines.find((line) => line.startsWith(`${name}:`))?.split(':');
    if (fields !== undefined) return { uid: Number(fields[2]), gid: Number(fields[3]) };
  }
  throw new Error(`Postgres does not run as root, and this system has no user ${names.join(' or ')}`);
}
