import type { ErrorRequestHandler } from 'express';
import { formatProblem, retryAfterOf, toProoflineError } from '../problem.ts';
import type { ApiDeps } from '../route.ts';
import { requestIdOf } from './identify-request.ts';

/** The last step: every error leaves as a problem document. What is our fault is logged with its cause, never shown. */
export function answerProblem({ log, metrics, settings }: ApiDeps): ErrorRequestHandler {
  return (caught: unknown, _req, res, _next) => {
    const error = toProoflineError(caught);
    const requestId = requestIdOf(res);
    metrics.problems.inc({ code: error.code });
    const problem = formatProblem(error, requestId, settings.publicUrl);
    if (problem.status >= 500) log.error({ requestId, code: error.code, err: error.cause ?? error }, 'request failed');
    if (res.headersSent) {
      // Too late for another answer: a cut one at least cannot be taken for a whole one.
      res.destroy();
      return;
    }
    const retryAfter = retryAfterOf(error);
    if (retryAfter !== undefined) res.set('Retry-After', String(retryAfter));
    const { allow } = error.extra;
    if (typeof allow === 'string') res.set('Allow', allow);
    res.removeHeader('ETag');
    res.set('Cache-Control', 'no-store');
    res.status(problem.status).set('Content-Type', 'application/problem+json').end(JSON.stringify(problem));
  };
}
