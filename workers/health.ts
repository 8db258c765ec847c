import { createServer } from 'node:http';
import { register } from 'prom-client';

export interface HealthServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** Serves `/livez`, `/readyz` and `/metrics` of a process on a port of its own. Readiness flips when draining. */
export async function startHealth(options: {
  readonly host: string;
  readonly port: number;
  readonly isReady: () => boolean;
}): Promise<HealthServer> {
  const server = createServer((request, response) => {
    const answer = (status: number, type: string, body: string): void => {
      response.writeHead(status, { 'content-type': type }).end(body);
    };
    switch (request.url) {
      case '/livez':
        return answer(200, 'text/plain', 'ok\n');
      case '/readyz':
        return options.isReady() ? answer(200, 'text/plain', 'ready\n') : answer(503, 'text/plain', 'not ready\n');
      case '/metrics':
        register.metrics().then(
          (text) => answer(200, register.contentType, text),
          () => answer(500, 'text/plain', 'metrics failed\n'),
        );
        return;
      default:
        return answer(404, 'text/plain', 'not found\n');
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : options.port;
  return {
    url: `http://${options.host}:${port}`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
