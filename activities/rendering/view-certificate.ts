import { utf8 } from '../../domain/bytes.ts';
import type { CertificatePayload } from '../../domain/certificate.ts';
import type { CertificateSource } from '../../store/certificate-view.read.ts';
import { type CertificateView, DEFAULT_COLOUR } from './certificate-view.ts';

/** What the page shows of what the store holds. */
export function viewCertificate(source: CertificateSource, isDevelopmentKey: boolean): CertificateView {
  const { payload, tenantName, brand } = source;
  const colour = /^#[0-9a-f]{6}$/i.test(brand.colour ?? '') ? (brand.colour as string) : DEFAULT_COLOUR;
  return {
    language: source.language,
    // The store holds the very text that was signed.
    payload: JSON.parse(payload) as CertificatePayload,
    payloadBytes: utf8.encode(payload),
    holder: shorten(tenantName),
    brand: {
      name: shorten(brand.name ?? tenantName),
      colour,
      ...(brand.logo === undefined ? {} : { logo: new Uint8Array(Buffer.from(brand.logo, 'base64')) }),
    },
    isTimestampSelfOperated: source.isTimestampSelfOperated,
    isDevelopmentKey,
    ...(source.laterAnchor === undefined ? {} : { laterAnchor: source.laterAnchor }),
  };
}

/** Names beyond this would push the page's foot down. */
const MAX_NAME = 120;

function shorten(name: string): string {
  const characters = [...name];
  return characters.length <= MAX_NAME ? name : `${characters.slice(0, MAX_NAME - 1).join('')}…`;
}
