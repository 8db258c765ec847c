/**
 * One keep-alive HTTP/1.1 connection that sends prepared bytes and reads answers with a Content-Length: as little work
 * as a client can do, so that on a small machine the load generator takes little from what it measures.
 */
import { connect, type Socket } from 'node:net';

export interface Answer {
  readonly status: number;
  readonly body: string;
}

export interface Connection {
  /** Sends one request and resolves with its answer; one at a time. Rejects when the connection breaks. */
  send(request: string | Uint8Array): Promise<Answer>;
  close(): void;
}

const END_OF_HEAD = Buffer.from('\r\n\r\n');
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

export function openConnection(url: string): Promise<Connection> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(wrap(socket));
    });
  });
}

function wrap(socket: Socket): Connection {
  let held: Buffer = Buffer.alloc(0);
  let waiting: { resolve: (answer: Answer) => void; reject: (error: Error) => void } | undefined;
  const fail = (error: Error): void => {
    socket.destroy();
    waiting?.reject(error);
    waiting = undefined;
  };
  socket.on('error', fail);
  socket.on('close', () => fail(new Error('the server closed the connection')));
  socket.on('data', (chunk) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    if (held.length > MAX_ANSWER_BYTES) return fail(new Error('the answer is too long'));
    try {
      const read = readAnswer(held);
      if (read === undefined) return;
      held = held.subarray(read.length);
      const { resolve } = waiting ?? {};
      waiting = undefined;
      resolve?.(read.answer);
    } catch (error) {
      fail(error as Error);
    }
  });
  return {
    send(request) {
      return new Promise((resolve, reject) => {
        if (waiting !== undefined || socket.destroyed) return reject(new Error('the connection is not free'));
        waiting = { resolve, reject };
        socket.write(request);
      });
    },
    close() {
      socket.removeAllListeners('close');
      socket.destroy();
    },
  };
}

function readAnswer(bytes: Buffer): { answer: Answer; length: number } | undefined {
  const end = bytes.indexOf(END_OF_HEAD);
  if (end < 0) return undefined;
  const head = bytes.toString('latin1', 0, end);
  const announced = /\r\ncontent-length: (\d+)/i.exec(head);
  if (announced === null) throw new Error(`an answer without a length: ${head.slice(0, 200)}`);
  const length = end + 4 + Number(announced[1]);
  if (bytes.length < length) return undefined;
  return { answer: { status: Number(head.slice(9, 12)), body: bytes.toString('utf8', end + 4, length) }, length };
}

/** The bytes of a request. */
export function formatRequest(
  method: 'GET' | 'POST',
  path: string,
  options: { readonly apiKey?: string; readonly body?: string; readonly type?: string } = {},
): string {
  const { apiKey, body, type = 'application/json' } = options;
  return [
    `${method} ${path} HTTP/1.1`,
    'Host: 127.0.0.1',
    ...(apiKey === undefined ? [] : [`Authorization: Bearer ${apiKey}`]),
    ...(body === undefined ? [] : [`Content-Type: ${type}`, `Content-Length: ${Buffer.byteLength(body)}`]),
    '',
    body ?? '',
  ].join('\r\n');
}
