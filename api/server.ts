/** HTTP servers with their limits, and their orderly end. */
import { createServer, type Server, STATUS_CODES } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Express } from 'express';
import { type ErrorCode, ProoflineError } from '../domain/errors.ts';
import { formatProblem } from './problem.ts';

/** A server of the app, not yet listening. Bounds: 30 s for headers, 120 s for a whole request, 32 KiB of headers. */
export function createApiServer(app: Express, publicUrl: string, newId: () => string): Server {
  const server = createServer(
    { maxHeaderSize: 32 * 1024, headersTimeout: 30_000, requestTimeout: 120_000, keepAliveTimeout: 65_000 },
    app,
  );
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => answerBroken(error, socket, publicUrl, newId()));
  return server;
}

/** Listens and gives the port. Rejects if the port is taken. */
export function listenOn(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/** Takes no new connection, lets requests end within `graceMs`, then cuts what is left. */
export function drain(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), graceMs);
    // A connection falls idle when its last answer is out; clients would keep it for their next request.
    const sweep = setInterval(() => server.closeIdleConnections(), 50);
    server.close(() => {
      clearTimeout(cut);
      clearInterval(sweep);
      resolve();
    });
    server.closeIdleConnections();
  });
}

/** What never became a request, or broke off: the app has no response for it, so the problem is written by hand. */
function answerBroken(error: NodeJS.ErrnoException, socket: Duplex, publicUrl: string, requestId: string): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const problem = formatProblem(new ProoflineError(codeOf(error)), requestId, publicUrl);
  const body = JSON.stringify(problem);
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Request-Id: ${requestId}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

function codeOf(error: NodeJS.ErrnoException): ErrorCode {
  switch (error.code) {
    case 'HPE_INVALID_EOF_STATE':
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return 'STREAM_INTERRUPTED';
    default:
      return 'REQUEST_INVALID';
  }
}
