import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { examplePayload, exampleView } from '../../test/support/pdf-fixture.ts';
import type { CertificateView } from './certificate-view.ts';
import { WORDS } from './certificate-words.ts';
import { loadFonts } from './fonts.ts';
import { openPdf, readObject, readReferences, readStream } from './pdf-file.ts';
import { limitsOf, renderCertificate } from './render-certificate.ts';

const fonts = loadFonts();
const render = (change: Partial<CertificateView> = {}) => renderCertificate(exampleView(change), fonts);

/** Objects whose dictionary has this entry. */
function objectsWith(pdf: Uint8Array, key: string, value: string): readonly number[] {
  const file = openPdf(pdf);
  return [...file.offsets.keys()].filter((number) => {
    try {
      return readObject(file, number).get(key) === value;
    } catch {
      // Arrays and other objects that are no dictionaries.
      return false;
    }
  });
}

const REAL = [
  'nextTick',
  'queueMicrotask',
  'setImmediate',
  'setTimeout',
  'clearTimeout',
  'performance',
  'hrtime',
] as const;

describe('a rendered certificate', () => {
  beforeEach(() => void jest.useFakeTimers({ now: new Date('2030-01-01T00:00:00Z'), doNotFake: [...REAL] }));
  afterEach(() => void jest.useRealTimers());

  it.each(['en', 'fr'] as const)(
    'is the same bytes each time in %s, with fonts fresh or used before',
    async (language) => {
      const once = await render({ language });
      jest.setSystemTime(new Date('2031-05-06T07:08:09Z'));
      await render({ language: language === 'en' ? 'fr' : 'en', holder: 'Somebody else' });
      expect(Buffer.compare(once, await render({ language }))).toBe(0);
      expect(Buffer.compare(once, await renderCertificate(exampleView({ language }), loadFonts()))).toBe(0);
    },
  );

  it('holds the canonical JSON byte for byte, as the source of the page', async () => {
    const { payloadBytes } = exampleView();
    const pdf = await render();
    const [attachment] = objectsWith(pdf, 'Type', '/EmbeddedFile');
    expect(Buffer.compare(readStream(openPdf(pdf), attachment ?? 0), payloadBytes)).toBe(0);
    expect(objectsWith(pdf, 'AFRelationship', '/Source')).toHaveLength(1);
  });

  it('embeds every font that it uses, and no standard one', async () => {
    const pdf = await render();
    expect(objectsWith(pdf, 'Type', '/FontDescriptor')).toHaveLength(4);
    expect(objectsWith(pdf, 'Subtype', '/Type1')).toHaveLength(0);
  });

  it('is one page, or two where names, digest and limits leave no room', async () => {
    const pagesOf = async (pdf: Promise<Uint8Array>): Promise<number> => objectsWith(await pdf, 'Type', '/Page').length;
    const payload = examplePayload({ digest: { alg: 'sha-512', value: 'ab'.repeat(64) }, anchor: { none: 'none' } });
    const holder = 'A company with a rather long name '.repeat(4).slice(0, 120);
    const [entry] = [examplePayload().anchor].filter((anchor) => 'topicId' in anchor);
    const laterAnchor = { ...entry, network: 'testnet' } as unknown as NonNullable<CertificateView['laterAnchor']>;
    expect(await pagesOf(render())).toBe(1);
    expect(await pagesOf(render({ payload, holder, brand: { name: holder, colour: '#7a1f2b' }, laterAnchor }))).toBe(2);
  });

  it('has the print flag on every annotation', async () => {
    const pdf = await render();
    const file = openPdf(pdf);
    const [page = 0] = objectsWith(pdf, 'Type', '/Page');
    const flags = readReferences(readObject(file, page).get('Annots')).map((n) => readObject(file, n).get('F'));
    expect(flags).toEqual(['4', '4']);
  });
});

describe('the limits on the page', () => {
  const limits = (change: Partial<CertificateView>) => limitsOf(exampleView(change), WORDS.en);
  const on = (network: string) => {
    const payload = examplePayload();
    return examplePayload({ anchor: { ...payload.anchor, network } as typeof payload.anchor });
  };
  const honest = { isDevelopmentKey: false, isTimestampSelfOperated: false };

  it('are none on the public ledger, under a foreign authority and a real key', () => {
    expect(limits({ ...honest, payload: on('mainnet') })).toEqual([]);
  });

  it.each([
    ['a development key', { ...honest, payload: on('mainnet'), isDevelopmentKey: true }, WORDS.en.developmentKey],
    ['an own authority', { ...honest, payload: on('mainnet'), isTimestampSelfOperated: true }, WORDS.en.selfOperated],
    ['a test network', { ...honest, payload: on('testnet') }, WORDS.en.testNetwork('testnet')],
    ['a simulator', { ...honest, payload: on('local') }, WORDS.en.simulated],
  ])('name %s', (_what, change, words) => {
    expect(limits(change)).toEqual([words]);
  });
});
