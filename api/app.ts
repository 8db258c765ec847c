/**
 * The Express application: routes from one table, each behind the same steps in the same order: rate limit, access,
 * body under its limit, the contract's validation, answer. Nothing listens and nothing connects here.
 */
import express, { type Express } from 'express';
import { ProoflineError } from '../domain/errors.ts';
import { answerProblem } from './middleware/answer-problem.ts';
import { authorise } from './middleware/authorise.ts';
import { identifyRequest } from './middleware/identify-request.ts';
import { limitRate } from './middleware/limit-rate.ts';
import { readBody } from './middleware/read-body-of.ts';
import { type ApiDeps, type Route, toExpressPath } from './route.ts';
import { anchorRoutes } from './routes/anchors.ts';
import { auditRoutes } from './routes/audit.ts';
import { commandRoutes } from './routes/commands.ts';
import { docsRoutes } from './routes/docs.ts';
import { evidenceRoutes } from './routes/evidence.ts';
import { licenceRoutes } from './routes/licences.ts';
import { logRoutes } from './routes/log.ts';
import { orgUnitRoutes } from './routes/org-units.ts';
import { proofRoutes } from './routes/proofs.ts';
import { submissionRoutes } from './routes/submissions.ts';
import { verificationRoutes } from './routes/verification.ts';
import { createValidation, rememberParameters, warmUp } from './validation.ts';

/** Every route of the API. */
export const ROUTES: readonly Route[] = [
  ...proofRoutes,
  ...commandRoutes,
  ...evidenceRoutes,
  ...submissionRoutes,
  ...verificationRoutes,
  ...anchorRoutes,
  ...licenceRoutes,
  ...orgUnitRoutes,
  ...auditRoutes,
  ...logRoutes,
  ...docsRoutes,
];

/** The app, once its validation is compiled. */
export async function createApp(deps: ApiDeps): Promise<Express> {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  app.enable('case sensitive routing');
  app.enable('strict routing');
  app.use(identifyRequest(deps));

  const validate = createValidation(deps.settings.validateResponses ?? false);
  // Where responses are validated too, each request needs all of the chain.
  const validateOnce = deps.settings.validateResponses === true ? validate : [rememberParameters(validate)];
  for (const route of ROUTES) {
    app[route.method](
      toExpressPath(route.path),
      ...(route.isRateLimited ? [limitRate(deps.verifyLimit)] : []),
      authorise(route.access, deps.keys),
      readBody(route.body),
      ...(route.remembersParameters === true ? validateOnce : validate),
      (req, res) => route.answer(req, res, deps),
    );
  }
  for (const [path, methods] of methodsByPath()) {
    const allow = ['HEAD', ...methods].filter((method) => method !== 'HEAD' || methods.includes('GET')).join(', ');
    app.use((req, _res, next) => {
      if (matches(path, req.path))
        throw new ProoflineError('METHOD_NOT_ALLOWED', `allowed: ${allow}`, { extra: { allow } });
      next();
    });
  }
  app.use(() => {
    throw new ProoflineError('NOT_FOUND');
  });
  app.use(answerProblem(deps));
  await warmUp(app, validate, ROUTES);
  return app;
}

function methodsByPath(): Map<string, string[]> {
  const out = new Map<string, string[]>();
  for (const { path, method } of ROUTES) out.set(path, [...(out.get(path) ?? []), method.toUpperCase()]);
  return out;
}

/** Whether a request's path is one of a contract path. */
function matches(template: string, path: string): boolean {
  const pattern = template.replaceAll(/[.]/g, '\\.').replaceAll(/\{[a-z0-9_]+\}/gi, '[^/]+');
  return new RegExp(`^${pattern}$`).test(path);
}
