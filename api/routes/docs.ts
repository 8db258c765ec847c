/** The contract as a page, from files of this installation: no content delivery network, no tracking. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Request, Response } from 'express';
import { ERRORS, ProoflineError } from '../../domain/errors.ts';
import type { ApiDeps, Route } from '../route.ts';

export const docsRoutes: readonly Route[] = [
  { method: 'get', path: '/docs', access: 'public', answer: sendPage },
  { method: 'get', path: '/docs/problems', access: 'public', answer: sendProblems },
  { method: 'get', path: '/docs/{asset}', access: 'public', answer: sendAsset },
];

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

const PAGE = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Proofline API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css"></head>
<body><div id="contract"></div><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>
`;

const START = `SwaggerUIBundle({ url: '/docs/openapi.yaml', dom_id: '#contract', deepLinking: true, validatorUrl: null, persistAuthorization: false });\n`;

const ASSETS: Readonly<Record<string, { readonly type: string; readonly read: () => Promise<string> }>> = {
  'openapi.yaml': {
    type: 'application/yaml',
    read: () => readFile(new URL('../openapi.yaml', import.meta.url), 'utf8'),
  },
  'swagger-ui.css': { type: 'text/css', read: () => readSwagger('swagger-ui.css') },
  'swagger-ui-bundle.js': { type: 'text/javascript', read: () => readSwagger('swagger-ui-bundle.js') },
  'start.js': { type: 'text/javascript', read: async () => START },
};

async function sendPage(_req: Request, res: Response, _deps: ApiDeps): Promise<void> {
  res.set('Content-Security-Policy', POLICY).type('text/html; charset=utf-8').end(PAGE);
}

async function sendProblems(_req: Request, res: Response, _deps: ApiDeps): Promise<void> {
  const rows = Object.entries(ERRORS).map(
    ([code, { status, retryable, what, todo }]) =>
      `<tr id="${code}"><td><code>${code}</code></td><td>${status}</td><td>${retryable ? 'yes' : 'no'}</td><td>${escapeHtml(what)}</td><td>${escapeHtml(todo)}</td></tr>`,
  );
  res.set('Content-Security-Policy', POLICY).type('text/html; charset=utf-8');
  res.end(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Problems of the Proofline API</title><style>body{font:16px/1.5 sans-serif;margin:2rem}td,th{padding:.3rem .8rem;text-align:left;vertical-align:top}:target{background:#ffc}</style></head>
<body><h1>Problems</h1><p>Every error is an RFC 9457 problem document with one of these codes.</p>
<table><tr><th>Code</th><th>Status</th><th>Repeat</th><th>What happened</th><th>What to do</th></tr>
${rows.join('\n')}
</table></body></html>
`);
}

async function sendAsset(req: Request, res: Response, _deps: ApiDeps): Promise<void> {
  const asset = ASSETS[String(req.params.asset)];
  if (asset === undefined) throw new ProoflineError('NOT_FOUND');
  res
    .set('Cache-Control', 'public, max-age=3600')
    .type(`${asset.type}; charset=utf-8`)
    .end(await asset.read());
}

function readSwagger(name: string): Promise<string> {
  const folder = join(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'), '..');
  return readFile(join(folder, name), 'utf8');
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
