/** The contract's validation as one chain of middleware, and its warm-up. */
import { fileURLToPath } from 'node:url';
import type { Express, Request, RequestHandler, Response } from 'express';
import * as validator from 'express-openapi-validator';
import { isUuid } from '../domain/ids.ts';
import { type Route, toExpressPath } from './route.ts';

export const CONTRACT_FILE = fileURLToPath(new URL('./openapi.yaml', import.meta.url));

/** Requests always; responses where a test asks. */
export function createValidation(validateResponses: boolean): RequestHandler[] {
  const chain = validator.middleware({
    apiSpec: CONTRACT_FILE,
    validateApiSpec: false,
    validateRequests: { allErrors: true },
    validateResponses: validateResponses ? { removeAdditional: false, coerceTypes: false } : false,
    // Access is decided before the body is read.
    validateSecurity: false,
    fileUploader: false,
    ajvFormats: { mode: 'fast' },
  }) as RequestHandler[];
  return chain.map((step) => (step.name === LOOK_UP ? rememberOperation(step) : step));
}

/** The library's step that finds the operation of a request. */
const LOOK_UP = 'metadataMiddleware';

/**
 * Looks an operation up once a route. The library compiles a pattern for each path of the contract up to the one that
 * matches, at every request: a third of the API's time. The route, which Express has matched already, tells as much.
 */
function rememberOperation(lookUp: RequestHandler): RequestHandler {
  const known = new Map<string, object>();
  return (req, res, next) => {
    const route = (req.route as { path?: unknown } | undefined)?.path;
    const key = `${req.method} ${String(route)}`;
    const request = req as Request & { openapi?: object };
    const operation = typeof route === 'string' ? known.get(key) : undefined;
    if (operation !== undefined) {
      req.params = { ...req.params };
      request.openapi = { ...operation, pathParams: req.params };
      return next();
    }
    return lookUp(req, res, (error?: unknown) => {
      if (error === undefined && typeof route === 'string' && request.openapi !== undefined)
        known.set(key, request.openapi);
      next(error);
    });
  };
}

/** Spellings of parameters that are remembered, and how long one may be. */
const MAX_SPELLINGS = 100;
const MAX_SPELLING = 100;

/**
 * The contract's validation for routes without a body, or whose body is read strictly before it (`parseProofInput` refuses all that the
 * contract does): what is left to check are the parameters, which clients spell alike at every request. Those found good are not
 * checked again: a fifth of the time that accepting a proof takes. Of ids in the path every well-formed one is as good as another.
 */
export function rememberParameters(chain: readonly RequestHandler[]): RequestHandler {
  const good = new Map<string, Request['query']>();
  const spellingOf = (req: Request): string => {
    const from = req.originalUrl.indexOf('?');
    const query = from < 0 ? '' : req.originalUrl.slice(from);
    // The key is another at every request, and checked where it is used.
    const ids = Object.values(req.params).map((value) => (isUuid(value) ? 'id' : value));
    return `${req.method} ${String(req.route?.path)} ${ids.join('/')}${query} ${req.headers['content-type'] ?? ''}`;
  };
  return (req, res, next) => {
    const query = good.get(spellingOf(req));
    if (query !== undefined) {
      Object.defineProperty(req, 'query', {
        value: { ...query },
        writable: true,
        configurable: true,
        enumerable: true,
      });
      return next();
    }
    runAll(chain, req, res, (error?: unknown) => {
      const spelling = spellingOf(req);
      if (error === undefined && good.size < MAX_SPELLINGS && spelling.length <= MAX_SPELLING)
        good.set(spelling, { ...req.query });
      next(error);
    });
  };
}

/** The steps one after the other, as Express runs them. */
function runAll(chain: readonly RequestHandler[], req: Request, res: Response, done: (error?: unknown) => void): void {
  const [step, ...rest] = chain;
  if (step === undefined) {
    done();
    return;
  }
  const next = (error?: unknown): void => {
    if (error === undefined) runAll(rest, req, res, done);
    else done(error);
  };
  Promise.resolve()
    .then(() => step(req, res, next))
    .catch(done);
}

const TYPES: Record<NonNullable<Route['body']>, readonly string[]> = {
  proof: ['application/json'],
  submission: ['application/json', 'application/x-ndjson'],
  bundle: ['application/json'],
  pdf: ['application/json'],
  grant: ['application/jose', 'text/plain'],
  command: ['application/json'],
  commands: ['application/json'],
  change: ['application/json'],
};

/** Compiles every operation's schemas, so that no client waits for that. Rejects if the contract cannot be read. */
export async function warmUp(app: Express, chain: readonly RequestHandler[], routes: readonly Route[]): Promise<void> {
  for (const { method, path, body } of routes) {
    for (const type of body === undefined ? [undefined] : TYPES[body]) {
      const url = toExpressPath(path).replaceAll(/:[a-z0-9_]+/gi, '0');
      const req = {
        app,
        method: method.toUpperCase(),
        path: url,
        originalUrl: url,
        url,
        baseUrl: '',
        headers: type === undefined ? {} : { 'content-type': type },
        query: {},
        params: {},
        body: {},
      } as unknown as Request;
      await runChain(chain, req);
    }
  }
}

/** Runs the chain to its end or its first refusal: an empty request satisfies few operations, and need not. */
async function runChain(chain: readonly RequestHandler[], req: Request): Promise<void> {
  for (const step of chain) {
    const refusal = await new Promise<unknown>((resolve) => {
      Promise.resolve(step(req, { json() {} } as unknown as Response, resolve)).catch(resolve);
    });
    if (refusal !== undefined) {
      if (typeof refusal === 'object' && refusal !== null && 'status' in refusal) return;
      throw refusal;
    }
  }
}
