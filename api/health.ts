/** Health and metrics on a port of their own: not part of the contract, not for clients. */
import { createServer, type Server } from 'node:http';
import type { Registry } from 'prom-client';

export interface Health {
  /** Whether new requests should be sent here: started, the store answers, not draining. */
  isReady(): Promise<boolean>;
  readonly registry: Registry;
}

/** `/livez`, `/readyz`, `/metrics`. Does not listen yet. */
export function createHealthServer({ isReady, registry }: Health): Server {
  return createServer((req, res) => {
    const answer = async (): Promise<void> => {
      switch (req.url) {
        case '/livez':
          res.writeHead(200, { 'content-type': 'text/plain' }).end('alive\n');
          return;
        case '/readyz': {
          const ready = await isReady();
          res.writeHead(ready ? 200 : 503, { 'content-type': 'text/plain' }).end(ready ? 'ready\n' : 'not ready\n');
          return;
        }
        case '/metrics':
          res.writeHead(200, { 'content-type': registry.contentType }).end(await registry.metrics());
          return;
        default:
          res.writeHead(404).end();
      }
    };
    answer().catch(() => res.writeHead(500).end());
  });
}
