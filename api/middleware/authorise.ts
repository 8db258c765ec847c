/** Who may use a route, decided before its body is read. */
import type { Request, RequestHandler, Response } from 'express';
import { ProoflineError } from '../../domain/errors.ts';
import type { BearerKey } from '../../store/api-keys.ts';
import { setCaller } from '../caller.ts';
import type { KeyRing } from '../key-ring.ts';
import type { Access } from '../route.ts';

/** Throws UNAUTHENTICATED without a live key, FORBIDDEN with one that lacks the scope or role. */
export function authorise(access: Access, keys: KeyRing): RequestHandler {
  return async (req, res, next) => {
    if (access === 'public') return next();
    const token = bearerToken(req);
    if (access === 'optional' && token === undefined) return next();
    const caller = token === undefined ? undefined : await keys.authenticate(token);
    if (caller === undefined) throw refuse(res);
    if (access !== 'optional') check(access, caller);
    setCaller(res, caller);
    next();
  };
}

function bearerToken(req: Request): string | undefined {
  const header = req.get('authorization');
  if (header === undefined) return undefined;
  // A header of another scheme is a key that nobody has.
  return /^bearer +(\S{1,200})$/i.exec(header)?.[1] ?? '';
}

function refuse(res: Response): ProoflineError {
  res.set('WWW-Authenticate', 'Bearer realm="proofline"');
  return new ProoflineError('UNAUTHENTICATED');
}

function check({ scope, roles = [] }: Exclude<Access, string>, caller: BearerKey): void {
  if (caller.kind === 'operator') {
    if (!caller.roles.some((role) => roles.includes(role)))
      throw new ProoflineError(
        'FORBIDDEN',
        roles.length === 0 ? "this takes a tenant's key" : `one of the roles ${roles.join(', ')}`,
      );
    return;
  }
  if (scope === undefined) throw new ProoflineError('FORBIDDEN', `one of the roles ${roles.join(', ')}`);
  if (!caller.scopes.includes(scope)) throw new ProoflineError('FORBIDDEN', `the scope ${scope}`);
}
