/** The public log: checkpoint, tiles, and what this instance publishes about itself. */
import type { Request, Response } from 'express';
import { canonicalText } from '../../domain/canonical-json.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { readLatestCheckpoint } from '../../store/log.read.ts';
import { readTileAt } from '../../store/published-log.read.ts';
import { readTrustDocument } from '../../store/trust.read.ts';
import { etagOf } from '../etag.ts';
import type { ApiDeps, Route } from '../route.ts';
import { sendEvidence } from './requests.ts';

/** C2SP writes an index in groups of three digits, so each depth is a path of its own; partial tiles before full ones. */
const TILE_PATHS = [
  '/log/tile/{level}/{n}.p/{w}',
  '/log/tile/{level}/{n}',
  '/log/tile/{level}/{x1}/{n}.p/{w}',
  '/log/tile/{level}/{x1}/{n}',
  '/log/tile/{level}/{x1}/{x2}/{n}.p/{w}',
  '/log/tile/{level}/{x1}/{x2}/{n}',
];

export const logRoutes: readonly Route[] = [
  { method: 'get', path: '/.well-known/proofline.json', access: 'public', answer: sendTrust },
  { method: 'get', path: '/log/checkpoint', access: 'public', answer: sendCheckpoint },
  ...TILE_PATHS.map((path): Route => ({ method: 'get', path, access: 'public', answer: sendTile })),
];

async function sendTrust(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const text = canonicalText(await readTrustDocument(deps.db));
  sendEvidence(req, res, 'application/json', etagOf(text), text);
}

async function sendCheckpoint(_req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const checkpoint = await readLatestCheckpoint(deps.db, deps.settings.origin);
  if (checkpoint === undefined) throw new ProoflineError('NOT_FOUND');
  res.set('Cache-Control', 'no-cache').type('text/plain; charset=utf-8').end(checkpoint.note);
}

/** The path is the name: it has one spelling, and every other is not found. */
async function sendTile(req: Request, res: Response, deps: ApiDeps): Promise<void> {
  const { bytes, isFull } = await readTileAt(deps.db, deps.settings.origin, req.path.slice('/log/'.length));
  res.set('Cache-Control', isFull ? 'public, max-age=31536000, immutable' : 'public, max-age=60');
  res.type('application/octet-stream').end(bytes);
}
