/** What routes read of a request beyond its parameters. */
import type { Request, Response } from 'express';
import { ProoflineError } from '../../domain/errors.ts';
import type { ReadResult, Submitted } from '../read-submission.ts';
import type { ApiDeps } from '../route.ts';
import type { WaitFor } from '../waiters.ts';

export function setSubmitted(res: Response, { submitted }: ReadResult): void {
  res.locals.submitted = submitted;
}

export function submittedOf(res: Response): Submitted {
  const submitted = res.locals.submitted as Submitted | undefined;
  if (submitted === undefined) throw new Error('the body was not read as a submission');
  return submitted;
}

/** Waits as `?wait` asks; false if it asks for nothing. Ends when the client leaves. */
export async function waitFor(req: Request, res: Response, deps: ApiDeps, target: WaitFor): Promise<boolean> {
  const { wait = 0 } = req.query as unknown as { wait?: number };
  if (wait === 0) return false;
  await waitUntil(res, deps, target, wait * 1000);
  return true;
}

/** Waits for the end of a thing, at most `withinMs` and while the client stays. */
export async function waitUntil(res: Response, deps: ApiDeps, target: WaitFor, withinMs: number): Promise<void> {
  const left = new AbortController();
  const leave = (): void => left.abort();
  res.once('close', leave);
  deps.metrics.waiters.inc();
  try {
    await deps.waiters.wait(target, withinMs, left.signal);
  } finally {
    deps.metrics.waiters.dec();
    res.off('close', leave);
  }
}

/**
 * Answers evidence with a strong ETag, or 304 if the client holds it. `body` is sent as it is.
 */
export function sendEvidence(req: Request, res: Response, type: string, etag: string, body: string | Uint8Array): void {
  res.set({ ETag: etag, 'Cache-Control': 'private, no-cache', Vary: 'Accept' });
  const held = (req.get('if-none-match') ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  if (held.includes(etag) || held.includes('*')) res.status(304).end();
  else res.status(200).type(type).end(body);
}

/** The contract's pattern leaves days that do not exist. Throws REQUEST_INVALID. */
export function checkInstant(text: string | undefined): void {
  if (text === undefined) return;
  const ms = Date.parse(text);
  if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 19) !== text.slice(0, 19))
    throw new ProoflineError('REQUEST_INVALID', `${text} is no instant`);
}
