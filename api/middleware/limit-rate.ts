import type { RequestHandler } from 'express';
import { ProoflineError } from '../../domain/errors.ts';
import type { RateLimiter } from '../rate-limit.ts';

/** One token per request and address; tells the client where it stands. Throws RATE_LIMITED. */
export function limitRate(limiter: RateLimiter): RequestHandler {
  return (req, res, next) => {
    const { remaining, retryAfterSeconds } = limiter.take(req.socket.remoteAddress ?? '');
    res.set('RateLimit-Policy', `"verify";q=${limiter.burst};w=${limiter.windowSeconds}`);
    res.set(
      'RateLimit',
      `"verify";r=${remaining};t=${Math.ceil(((limiter.burst - remaining) * limiter.windowSeconds) / limiter.burst)}`,
    );
    if (retryAfterSeconds > 0) throw new ProoflineError('RATE_LIMITED', '', { extra: { retryAfterSeconds } });
    next();
  };
}
