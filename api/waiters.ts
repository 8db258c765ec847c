/**
 * Many requests that wait for the end of a proof, submission (`?wait`), command, import, org change or PDF share one question to the store. It is asked of
 * those whom a ring names (`store/ring-done.ts`) and of those who just began to wait; of everybody at a ring that names nobody, after a new connection
 * and every few seconds. One connection listens for all; none is held per waiter.
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

/** Who just began to wait is asked for after so long: what ended before he did rang for nobody. So is who was not answered. */
const POLL_MS = 250;
/** Everybody is asked for after so long: an end that rang for nobody, or whose ring was lost, is found. */
const SWEEP_MS = 5_000;
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
  /** Asks the store soon for those who wait for one of these, or for everybody; called when a transition has been notified. */
  wake(ids?: readonly string[]): void;
  /** Releases every waiter. */
  stop(): void;
  readonly size: number;
}

interface Waiter {
  readonly target: WaitFor;
  readonly release: () => void;
}

export function createWaiters(db: Db, onError: (error: unknown) => void, sweepMs = SWEEP_MS): Waiters {
  const waiting = new Set<Waiter>();
  const byId = new Map<string, Set<Waiter>>();
  /** Whom the next question is about. */
  const due = new Set<Waiter>();
  let timer: NodeJS.Timeout | undefined;
  let sweptAtMs = 0;
  let isAsking = false;
  let isRung = false;
  let isStopped = false;

  const schedule = (delayMs: number): void => {
    if (isStopped || isAsking || waiting.size === 0) return;
    clearTimeout(timer);
    timer = setTimeout(() => void ask(), delayMs);
  };

  const addEverybody = (): void => {
    sweptAtMs = performance.now();
    for (const waiter of waiting) due.add(waiter);
  };

  const ask = async (): Promise<void> => {
    isAsking = true;
    isRung = false;
    if (performance.now() - sweptAtMs >= sweepMs) addEverybody();
    const asked = [...due];
    due.clear();
    try {
      const scopes = Map.groupBy(asked, ({ target }) => ('tenant' in target ? target.tenant : undefined));
      for (const [tenant, waiters] of scopes) await askFor(db, tenant, waiters);
    } catch (error) {
      onError(error);
      for (const waiter of asked) if (waiting.has(waiter)) due.add(waiter);
    }
    isAsking = false;
    schedule(isRung ? 0 : POLL_MS);
  };

  const add = (waiter: Waiter): void => {
    if (waiting.size === 0) sweptAtMs = performance.now();
    waiting.add(waiter);
    due.add(waiter);
    const id = rungId(waiter.target);
    const same = byId.get(id);
    if (same === undefined) byId.set(id, new Set([waiter]));
    else same.add(waiter);
    if (waiting.size === 1) schedule(POLL_MS);
  };

  const remove = (waiter: Waiter): void => {
    waiting.delete(waiter);
    due.delete(waiter);
    const id = rungId(waiter.target);
    const same = byId.get(id);
    same?.delete(waiter);
    if (same?.size === 0) byId.delete(id);
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
            remove(waiter);
            resolve();
          },
        };
        const timeout = setTimeout(waiter.release, timeoutMs);
        signal.addEventListener('abort', waiter.release);
        add(waiter);
      });
    },
    wake(ids) {
      const named = ids?.flatMap((id) => [...(byId.get(id) ?? [])]);
      if (named === undefined) addEverybody();
      else if (named.length === 0) return;
      else for (const waiter of named) due.add(waiter);
      isRung = true;
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

/** The id under which a ring names what is waited for: a PDF is its proof's. */
function rungId({ kind, id }: WaitFor): string {
  return kind === 'pdf' ? (id.split('/')[0] ?? id) : id;
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
