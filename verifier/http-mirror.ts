import type { MirrorReader } from './mirror.ts';
import { readResponse } from './read-response.ts';

const TIMEOUT_MS = 10_000;
const MAX_BYTES = 262_144;

/**
 * A mirror behind an HTTP base URL (`https://host`, or one that ends in `/api/v1`). Each read: 10 s, 256 KiB, no
 * redirects. Throws TypeError on a URL that is not http or https.
 */
export function openMirror(url: string, fetchLike: typeof fetch = globalThis.fetch): MirrorReader {
  const base = new URL(url);
  if (base.protocol !== 'https:' && base.protocol !== 'http:') throw new TypeError(`${url} is not an http(s) URL`);
  const root = base.href.replace(/\/+$/, '').replace(/\/api\/v1$/, '');
  return {
    name: base.host,
    async read(path) {
      const response = await fetchLike(`${root}/api/v1${path}`, {
        redirect: 'error',
        headers: { accept: 'application/json' },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const text = await readResponse(response, MAX_BYTES);
      if (!response.ok) return { status: response.status, body: undefined };
      return { status: response.status, body: JSON.parse(text) as unknown };
    },
  };
}
