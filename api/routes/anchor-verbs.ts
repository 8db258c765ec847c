/** The anchors of one medium for operators: what stands, what waits for them, and their verbs. The same for each. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Request, Response } from 'express';
import { ProoflineError } from '../../domain/errors.ts';
import type { TrustDocument } from '../../domain/trust.ts';
import { type AnchorVerb, requestAnchorCommand, type SuspectEvidence } from '../../store/anchor-commands.ts';
import type { AnchorPage, AnchorRecords } from '../../store/anchors.read.ts';
import type { AnchorKey, AnchorMedium, AnchorState } from '../../store/anchors.ts';
import type { Db } from '../../store/pool.ts';
import { readLedgers } from '../../store/trust.read.ts';
import { callerOf } from '../caller.ts';
import type { ApiDeps, Route } from '../route.ts';
import { checkIdempotencyKey } from '../submit.ts';

export const OPERATORS = { roles: ['SUPPORT_OPERATOR', 'PLATFORM_ADMIN'] } as const;
export const LOOKERS = { roles: ['SUPPORT_OPERATOR', 'PLATFORM_ADMIN', 'AUDITOR'] } as const;

const OUTCOME_WITHIN_MS = 5_000;
const LOOK_EVERY_MS = 100;

type Ledgers = TrustDocument['ledgers'];

/** A medium as the API shows it. */
export interface AnchorSurface<Summary extends { readonly size: bigint }> {
  readonly medium: AnchorMedium;
  /** Of the collection: `/v1/admin/anchors`. */
  readonly path: string;
  readonly list: (db: Db, page: AnchorPage) => Promise<readonly Summary[]>;
  readonly read: (db: Db, key: AnchorKey) => Promise<(Summary & AnchorRecords) | undefined>;
  readonly describe: (anchor: Summary, ledgers: Ledgers) => unknown;
  readonly describeDetail: (anchor: Summary & AnchorRecords, ledgers: Ledgers) => unknown;
}

/** Its routes: the list, one anchor, `retry` and `resolve-suspect`. */
export function operateAnchors<Summary extends { readonly size: bigint }>(
  surface: AnchorSurface<Summary>,
): readonly Route[] {
  const { medium, path } = surface;
  return [
    { method: 'get', path, access: LOOKERS, answer: list },
    { method: 'get', path: `${path}/{size}`, access: LOOKERS, answer: read },
    { method: 'post', path: `${path}/{size}/retry`, access: OPERATORS, body: 'command', answer: retry },
    {
      method: 'post',
      path: `${path}/{size}/resolve-suspect`,
      access: OPERATORS,
      body: 'command',
      answer: resolveSuspect,
    },
  ];

  async function list(req: Request, res: Response, deps: ApiDeps): Promise<void> {
    const {
      state,
      below,
      limit = 50,
    } = req.query as unknown as { state?: AnchorState; below?: string; limit?: number };
    const anchors = await surface.list(deps.db, {
      origin: deps.settings.origin,
      ...(state === undefined ? {} : { state }),
      ...(below === undefined ? {} : { below: BigInt(below) }),
      limit,
    });
    const ledgers = await readLedgers(deps.db);
    const last = anchors.at(-1);
    res.json({
      data: anchors.map((anchor) => surface.describe(anchor, ledgers)),
      next: last !== undefined && anchors.length === limit ? last.size.toString() : null,
    });
  }

  async function read(req: Request, res: Response, deps: ApiDeps): Promise<void> {
    const detail = await look(req, deps);
    res.json(surface.describeDetail(detail, await readLedgers(deps.db)));
  }

  async function retry(req: Request, res: Response, deps: ApiDeps): Promise<void> {
    const { reason } = req.body as { reason: string };
    await command('retry', reason, undefined, req, res, deps);
  }

  async function resolveSuspect(req: Request, res: Response, deps: ApiDeps): Promise<void> {
    const { decision, reason, evidence, distrustedMirrors } = req.body as {
      decision: 'accept' | 'abandon';
      reason: string;
      evidence: string;
      distrustedMirrors?: string[];
    };
    const rests = { statement: evidence, distrustedMirrors: [...new Set(distrustedMirrors ?? [])] };
    await command(decision, reason, rests, req, res, deps);
  }

  /** Writes the command, or finds it under its idempotency key, and waits for the workflow to decide it: 200, 409 with the reason of its refusal, or 202. */
  async function command(
    verb: AnchorVerb,
    reason: string,
    evidence: SuspectEvidence | undefined,
    req: Request,
    res: Response,
    deps: ApiDeps,
  ): Promise<void> {
    const caller = callerOf(res);
    if (caller === undefined) throw new ProoflineError('UNAUTHENTICATED');
    const idempotencyKey = req.get('idempotency-key');
    checkIdempotencyKey(idempotencyKey);
    const { id, isReplay } = await requestAnchorCommand(deps.db, {
      id: deps.newId(),
      medium,
      ...keyOf(req, deps),
      verb,
      actor: `key:${caller.id}`,
      reason,
      ...(evidence === undefined ? {} : { evidence }),
      ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
      at: deps.clock.nowMicros(),
    });
    if (isReplay) res.set('Idempotent-Replayed', 'true');
    const untilMs = deps.clock.nowMs() + OUTCOME_WITHIN_MS;
    for (;;) {
      const detail = await look(req, deps);
      const asked = detail.commands.find((one) => one.id === id);
      if (asked?.state === 'REFUSED')
        throw new ProoflineError('TRANSITION_NOT_ALLOWED', asked.detail ?? asked.code ?? '');
      if (asked?.state === 'APPLIED' || deps.clock.nowMs() >= untilMs) {
        if (asked?.state !== 'APPLIED') res.status(202).set('Retry-After', '5');
        res.location(`${path}/${detail.size}`);
        res.json(surface.describeDetail(detail, await readLedgers(deps.db)));
        return;
      }
      await sleep(LOOK_EVERY_MS);
      // The client left; what it asked for stands.
      if (res.closed) return;
    }
  }

  async function look(req: Request, deps: ApiDeps): Promise<Summary & AnchorRecords> {
    const detail = await surface.read(deps.db, keyOf(req, deps));
    if (detail === undefined) throw new ProoflineError('NOT_FOUND');
    return detail;
  }
}

const keyOf = (req: Request, deps: ApiDeps): AnchorKey => ({
  origin: deps.settings.origin,
  size: BigInt(req.params.size as string),
});
