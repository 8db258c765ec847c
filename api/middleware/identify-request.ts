/** The first step: a request id that is echoed, the trace it belongs to, and one log line and measurement at the end. */
import type { RequestHandler, Response } from 'express';
import type { ApiDeps } from '../route.ts';

const REQUEST_ID = /^[A-Za-z0-9._:-]{1,128}$/;
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/;

/** The client's `X-Request-Id` if it is well-formed, else a new one. */
export function requestIdOf(res: Response): string {
  return res.locals.requestId as string;
}

export function identifyRequest({ log, metrics, newId }: ApiDeps): RequestHandler {
  return (req, res, next) => {
    const sent = req.get('x-request-id');
    const requestId = sent !== undefined && REQUEST_ID.test(sent) ? sent : newId();
    res.locals.requestId = requestId;
    res.set('X-Request-Id', requestId);
    res.set('X-Content-Type-Options', 'nosniff');
    const traceId = TRACEPARENT.exec(req.get('traceparent') ?? '')?.[1];
    if (traceId !== undefined) res.set('traceparent', req.get('traceparent'));
    const method = req.method;
    // A HEAD is answered as its GET; Node leaves the body out.
    if (method === 'HEAD') req.method = 'GET';
    // A body that no route reads has no type: the validator would remember each one it sees.
    if (req.method === 'GET') delete req.headers['content-type'];
    const startedAt = performance.now();
    res.once('close', () => {
      const route = (req.route as { path?: string } | undefined)?.path ?? 'none';
      const seconds = (performance.now() - startedAt) / 1000;
      const status = res.writableFinished ? res.statusCode : 499;
      metrics.requestSeconds.observe({ method, route, status: String(status) }, seconds);
      log.info({ requestId, traceId, method, route, status, ms: Math.round(seconds * 1000) }, 'request');
    });
    next();
  };
}
