/** Support verbs on proofs: the route writes rows, waits for the relay to apply them, and tells what came of it. */
import { createHash } from 'node:crypto';
import type { Request, Response } from 'express';
import { canonicalBytes, type Json } from '../../domain/canonical-json.ts';
import type { CommandVerb } from '../../domain/commands.ts';
import { ProoflineError } from '../../domain/errors.ts';
import type { CommandId, ProofId, TenantId } from '../../domain/ids.ts';
import {
  type CommandFilter,
  type CommandRequest,
  readCommands,
  requestCommands,
} from '../../store/command-requests.ts';
import { readProof } from '../../store/proofs.read.ts';
import { withTenant } from '../../store/tenant-scope.ts';
import { callerOf } from '../caller.ts';
import { type CommandBody, commandPath, describeCommand } from '../represent-command.ts';
import type { Access, ApiDeps, Route } from '../route.ts';
import { checkIdempotencyKey } from '../submit.ts';
import { checkInstant, waitUntil } from './requests.ts';

/** A request waits this long for its outcome, then goes with the link to it. */
const OUTCOME_WITHIN_MS = 5_000;

const SUPPORT = ['SUPPORT_OPERATOR'] as const;
/** A tenant's key comes as far as the proof: its own may be cancelled, a foreign one must look like none. */
const OWNER_OR_SUPPORT: Access = { scope: 'proofs:write', roles: SUPPORT };

export const commandRoutes: readonly Route[] = [
  { method: 'post', path: '/v1/proofs/commands', access: { roles: SUPPORT }, body: 'commands', answer: commandMany },
  ...(['cancel', 'reject', 'retry', 'certify-without-anchor'] as const).map(
    (verb): Route => ({
      method: 'post',
      path: `/v1/proofs/{id}/${verb}`,
      access: OWNER_OR_SUPPORT,
      body: 'command',
      answer: (req, res, deps) => commandOne(verb, req, res, deps),
    }),
  ),
  {
    method: 'get',
    path: '/v1/commands/{id}',
    access: { scope: 'proofs:read', roles: ['SUPPORT_OPERATOR', 'PLATFORM_ADMIN', 'AUDITOR'] },
    answer: read,
  },
];

async function commandOne(verb: CommandVerb, req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const proof = req.params.id as string as ProofId;
  const caller = callerOf(res);
  if (caller?.kind === 'tenant' && verb !== 'cancel') {
    const own = await withTenant(deps.db, caller.tenant, (tx) => readProof(tx, proof));
    if (own === undefined) throw new ProoflineError('NOT_FOUND');
    throw new ProoflineError('FORBIDDEN', `one of the roles ${SUPPORT.join(', ')}`);
  }
  const { reason } = req.body as { reason: string };
  const body = await request(req, res, deps, { verb, reason, target: { proofs: [proof] } });
  const [item] = body.items;
  if (item?.state === 'REFUSED')
    throw new ProoflineError('TRANSITION_NOT_ALLOWED', item.detail ?? '', { extra: { command: body.links.self } });
  send(res, body);
}

async function commandMany(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const { verb, reason, proofs, filter } = req.body as {
    verb: CommandVerb;
    reason: string;
    proofs?: ProofId[];
    filter?: CommandFilter;
  };
  if ((proofs === undefined) === (filter === undefined))
    throw new ProoflineError('REQUEST_INVALID', 'either `proofs` or `filter`');
  if (filter !== undefined) for (const at of [filter.receivedFrom, filter.receivedTo]) checkInstant(at);
  const target = filter === undefined ? { proofs: [...new Set(proofs)] } : { filter };
  send(res, await request(req, res, deps, { verb, reason, target }));
}

async function read(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const caller = callerOf(res);
  const tenant = caller?.kind === 'tenant' ? caller.tenant : undefined;
  res.json(await look(deps, req.params.id as string as CommandId, tenant));
}

/** Writes the request, or finds it under its idempotency key, and waits for its outcome. Throws NOT_FOUND, ITEMS_REFUSED, IDEMPOTENCY_KEY_*. */
async function request(
  req: Request,
  res: Response,
  deps: ApiDeps,
  asked: Pick<CommandRequest, 'verb' | 'reason' | 'target'>,
): Promise<CommandBody> {
  const caller = callerOf(res);
  if (caller === undefined) throw new ProoflineError('UNAUTHENTICATED');
  const idempotencyKey = req.get('idempotency-key');
  checkIdempotencyKey(idempotencyKey);
  const tenant = caller.kind === 'tenant' ? caller.tenant : undefined;
  const result = await requestCommands(deps.db, {
    ...asked,
    id: deps.newId() as CommandId,
    actor: `key:${caller.id}`,
    ...(tenant === undefined ? {} : { tenantId: tenant }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    bodyHash: createHash('sha256')
      .update(canonicalBytes(asked as unknown as Json))
      .digest(),
    at: deps.clock.nowMicros(),
  });
  if (result.outcome === 'mismatch') throw new ProoflineError('IDEMPOTENCY_KEY_REUSED');
  if (result.outcome === 'unknown') throw unknownProofs(asked, result.unknown);
  if (result.outcome === 'replayed') res.set('Idempotent-Replayed', 'true');
  await waitUntil(res, deps, { kind: 'command', id: result.id }, OUTCOME_WITHIN_MS);
  return look(deps, result.id, tenant);
}

/** Only operators send lists, and they may know which id is wrong. */
function unknownProofs({ target }: Pick<CommandRequest, 'target'>, unknown: readonly ProofId[]): ProoflineError {
  const proofs = 'proofs' in target ? target.proofs : [];
  if (proofs.length <= 1) return new ProoflineError('NOT_FOUND');
  const items = unknown
    .slice(0, 100)
    .map((id) => ({ index: proofs.indexOf(id), code: 'NOT_FOUND', detail: `no proof ${id}` }));
  return new ProoflineError('ITEMS_REFUSED', `${unknown.length} of ${proofs.length} proofs are unknown`, {
    extra: { items },
  });
}

async function look(deps: ApiDeps, id: CommandId, tenant: TenantId | undefined): Promise<CommandBody> {
  const found = await readCommands(deps.db, id, tenant);
  if (found === undefined) throw new ProoflineError('NOT_FOUND');
  return describeCommand(found.record, found.items, deps.settings);
}

function send(res: Response, body: CommandBody): void {
  res.location(commandPath(body.id as CommandId));
  if (body.state === 'PENDING') res.status(202).set('Retry-After', '5');
  res.json(body);
}
