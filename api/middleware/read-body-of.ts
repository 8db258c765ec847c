import type { Request, RequestHandler, Response } from 'express';
import { unreachable } from '../../domain/errors.ts';
import { readJsonBody, readTextBody, requireMediaType } from '../read-body.ts';
import { readProofBody, readSubmissionBody } from '../read-submission.ts';
import type { BodyKind } from '../route.ts';
import { setSubmitted } from '../routes/requests.ts';

/** Bytes of a licence grant. */
const MAX_GRANT_BYTES = 64 * 1024;
/** A PDF in base64, which is read to 2 MiB, and a bundle of 1 MiB. */
const MAX_PDF_JSON_BYTES = 5 * 1024 * 1024;

/** Reads the body as the route takes it and leaves it in `req.body` for the contract's validation. */
export function readBody(kind: BodyKind | undefined): RequestHandler {
  return async (req, res, next) => {
    if (kind !== undefined) req.body = await read(kind, req, res);
    // One spelling per type: the validator keeps a compiled schema for each that it meets.
    if (kind !== undefined)
      req.headers['content-type'] = (req.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase();
    next();
  };
}

async function read(kind: BodyKind, req: Request, res: Response): Promise<unknown> {
  switch (kind) {
    case 'proof': {
      const result = await readProofBody(req, req.query.anchorPolicy);
      setSubmitted(res, result);
      return result.body;
    }
    case 'submission': {
      const { reference, anchorPolicy, partial } = req.query;
      const result = await readSubmissionBody(req, { reference, anchorPolicy, partial: partial === 'true' });
      setSubmitted(res, result);
      return result.body;
    }
    case 'bundle':
    case 'command':
    case 'commands':
    case 'change':
      return readJsonBody(req);
    case 'pdf':
      return readJsonBody(req, MAX_PDF_JSON_BYTES);
    case 'grant':
      requireMediaType(req, 'application/jose', 'text/plain');
      return readTextBody(req, MAX_GRANT_BYTES);
    default:
      return unreachable(kind);
  }
}
