/**
 * A timestamp authority on a socket (RFC 3161 §3.4): `POST /` with a TimeStampReq. Beside it `GET /health`, `GET
 * /certchain` (PEM), and `GET`, `PUT`, `DELETE /admin/fault` for the fault in force. Loopback only, for development and tests.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { writePem } from '../../domain/timestamp/pem.ts';
import { answerQuery, needsAlternate, type TsaAuthority } from './answer-query.ts';
import { FaultSwitch, readFault, type TsaFault } from './faults.ts';

export interface TsaOptions extends TsaAuthority {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: chosen by the system. */
  readonly port?: number;
}

export interface RunningTsa {
  /** `http://host:port/` */
  readonly url: string;
  /** Queries received since the start. */
  readonly queries: () => number;
  readonly setFault: (fault: TsaFault | undefined) => void;
  /** Closes the socket and every connection, hanging ones too. */
  readonly stop: () => Promise<void>;
}

const MAX_QUERY_BYTES = 4096;

/** Rejects when the address is taken. */
export async function startTsa(options: TsaOptions): Promise<RunningTsa> {
  const faults = new FaultSwitch();
  let queries = 0;
  let firstSerial: Uint8Array | undefined;

  async function serveQuery(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.headers['content-type']?.split(';')[0] !== 'application/timestamp-query')
      return end(response, 415, 'send application/timestamp-query');
    const query = await readBody(request);
    if (query === undefined) return end(response, 413, `a query holds at most ${MAX_QUERY_BYTES} bytes`);
    queries++;
    const fault = faults.take();
    if (fault?.kind === 'hang') return;
    if (fault?.kind.startsWith('http-')) return end(response, Number(fault.kind.slice(5)), `fault ${fault.kind}`);
    // 127 random bits: unique across restarts without a file.
    const fresh = options.random(16);
    fresh[0] = (fresh[0] as number) & 0x7f;
    firstSerial ??= fresh;
    // Certificate and key of one moment, should the key be rotated meanwhile.
    const reply = await answerQuery(
      { ...options },
      query,
      fault,
      fault?.kind === 'repeated-serial' ? firstSerial : fresh,
    );
    if (fault?.kind === 'reply-lost') return void request.socket.destroy();
    response.writeHead(200, { 'content-type': 'application/timestamp-reply' });
    response.end(fault?.kind === 'oversized' ? Buffer.concat([reply, Buffer.alloc(70_000)]) : reply);
  }

  async function serveFault(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === 'PUT') {
      const fault = readFault(parseJson(await readBody(request)));
      if (fault === undefined) return end(response, 400, 'send {"kind": …, "times"?: …, "skewMs"?: …}');
      if (needsAlternate(fault.kind) && options.alternates?.[fault.kind] === undefined)
        return end(response, 409, 'this authority has no certificate for that fault');
      faults.set(fault);
    } else if (request.method === 'DELETE') faults.set(undefined);
    end(response, 200, JSON.stringify(faults.current ?? null));
  }

  const server = createServer((request, response) => {
    const route = `${request.method} ${request.url}`;
    if (route === 'GET /health') return end(response, 200, 'ok');
    if (route === 'GET /certchain')
      return end(
        response,
        200,
        [options.certificate, ...options.chain].map((der) => writePem('CERTIFICATE', der)).join(''),
      );
    const served =
      request.url === '/admin/fault'
        ? serveFault(request, response)
        : request.method === 'POST'
          ? serveQuery(request, response)
          : undefined;
    if (served === undefined) return end(response, 404, 'POST a query to /');
    served.catch((error: unknown) => {
      if (!response.headersSent) end(response, 500, error instanceof Error ? error.message : 'failed');
      else response.destroy();
    });
  });
  server.requestTimeout = 10_000;
  await listen(server, options.port ?? 0, options.host ?? '127.0.0.1');
  const { address, port } = server.address() as AddressInfo;
  return {
    url: `http://${address}:${port}/`,
    queries: () => queries,
    setFault: (fault) => faults.set(fault),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve());
  });
}

/** Undefined when it is longer than a query may be. */
async function readBody(request: IncomingMessage): Promise<Uint8Array | undefined> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > MAX_QUERY_BYTES) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function parseJson(body: Uint8Array | undefined): unknown {
  try {
    return body && JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
}

function end(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(`${text}\n`);
}
