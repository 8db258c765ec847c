/**
 * Many requests that wait for the end of a proof, submission (`?wait`), command, import, org change or PDF share one question to the store, asked when a
 * transition has notified and every 250 ms besides. One connection listens for all; none is held per waiter.
 */
import type { CommandId, ProofId, SubmissionId, TenantId } from '../domain/ids.ts';
import { storedPdfs } from '../store/certificate-pdfs.read.ts';
import { finishedCommands } from '../store/command-requests.ts';
import { finishedImports } from '../store/licence-imports.ts';
import { finishedOrgChanges } from '../store/org-changes.ts';
import type { Db } from '../store/pool.ts';
import { finalProofs } from '../store/proofs.read.ts';
import { finalSubmissions } from '../store/submissions.read.ts';
import { withTenant } from '../store/tenant-scope.ts';

const POLL_MS = 250;
const MAX_WAITERS = 2_000;

export type WaitFor =
  | { readonly kind: 'proof' | 'submission'; readonly id: ProofId | SubmissionId; readonly tenant: TenantId }
  | { readonly kind: 'command'; readonly id: CommandId }
  /** Of a grant or revocation list. */
  | { readonly kind: 'import'; readonly id: string }
  /** Of the org tree or its shares. */
  | { readonly kind: 'change'; readonly id: string; readonly tenant: TenantId }
  /** `proof/level`. */
  | { readonly kind: 'pdf'; readonly id: string; readonly tenant: TenantId };

export interface Waiters {
  /** Resolves when the thing has reached its end, after `timeoutMs`, on `signal`, or at once if too many wait. Never rejects. */
  wait(target: WaitFor, timeoutMs: number, signal: AbortSignal): Promise<void>;
  /** Asks the store soon; called when a transition has been notified. */
  wake(): void;
  /** Releases every waiter. */
  stop(): void;
  readonly size: number;
}

interface Waiter {
  readonly target: WaitFor;
  readonly release: () => void;
}

export function createWaiters(db: Db, onError: (error: unknown) => void): Waiters {
  const waiting = new Set<Waiter>();
  let timer: NodeJS.Timeout | undefined;
  let isAsking = false;
  let isWoken = false;
  let isStopped = false;

  const schedule = (delayMs: number): void => {
    if (isStopped || isAsking || waiting.size === 0) return;
    clearTimeout(timer);
    timer = setTimeout(() => void ask(), delayMs);
  };

  const ask = async (): Promise<void> => {
    isAsking = true;
    isWoken = false;
    try {
      const scopes = Map.groupBy(waiting, ({ target }) => ('tenant' in target ? target.tenant : undefined));
      for (const [tenant, waiters] of scopes) await askFor(db, tenant, waiters);
    } catch (error) {
      onError(error);
    }
    isAsking = false;
    schedule(isWoken ? 0 : POLL_MS);
  };

  return {
    wait(target, timeoutMs, signal) {
      if (isStopped || signal.aborted || waiting.size >= MAX_WAITERS) return Promise.resolve();
      return new Promise((resolve) => {
        const waiter: Waiter = {
          target,
          release: () => {
            clearTimeout(timeout);
            signal.removeEventListener('abort', waiter.release);
            waiting.delete(waiter);
            resolve();
          },
        };
        const timeout = setTimeout(waiter.release, timeoutMs);
        signal.addEventListener('abort', waiter.release);
        waiting.add(waiter);
        if (waiting.size === 1) schedule(POLL_MS);
      });
    },
    wake() {
      isWoken = true;
      schedule(0);
    },
    stop() {
      isStopped = true;
      clearTimeout(timer);
      for (const waiter of [...waiting]) waiter.release();
    },
    get size() {
      return waiting.size;
    },
  };
}

/** Without a tenant: commands and imports, which whoever waits has just been shown. */
async function askFor(db: Db, tenant: TenantId | undefined, waiters: readonly Waiter[]): Promise<void> {
  const idsOf = (kind: WaitFor['kind']): string[] =>
    waiters.filter(({ target }) => target.kind === kind).map(({ target }) => target.id);
  const proofs = idsOf('proof') as ProofId[];
  const submissions = idsOf('submission') as SubmissionId[];
  const [commands, imports, changes, pdfs] = [idsOf('command'), idsOf('import'), idsOf('change'), idsOf('pdf')];
  const ended: readonly string[] =
    tenant === undefined
      ? [
          ...(commands.length === 0 ? [] : await finishedCommands(db, commands as CommandId[])),
          ...(imports.length === 0 ? [] : await finishedImports(db, imports)),
        ]
      : await withTenant(db, tenant, async (tx) => [
          ...(proofs.length === 0 ? [] : await finalProofs(tx, proofs)),
          ...(submissions.length === 0 ? [] : await finalSubmissions(tx, submissions)),
          ...(changes.length === 0 ? [] : await finishedOrgChanges(tx, changes)),
          ...(pdfs.length === 0 ? [] : await storedPdfs(tx, pdfs)),
        ]);
  const done = new Set<string>(ended);
  for (const { target, release } of waiters) if (done.has(target.id)) release();
}
