/**
 * The certificate as a page: PDF/A-3b, the canonical JSON attached as its source. The same view gives the same bytes,
 * since nothing here reads a clock or a random number, so a repeated step repeats exactly.
 */
import { createHash } from 'node:crypto';
import PDFDocument from 'pdfkit';
import type { AnchorEntry } from '../../domain/bundle.ts';
import type { CertificatePayload } from '../../domain/certificate.ts';
import { type CertificateView, networkKind } from './certificate-view.ts';
import { tellInstant, WORDS, type Words } from './certificate-words.ts';
import { qrModules, qrRuns } from './draw-qr.ts';
import type { Face, Fonts } from './fonts.ts';

/** Name of the attachment. */
export const ATTACHMENT = 'certificate.json';

const PAGE = { width: 595.28, height: 841.89, margin: 56 };
const LEFT = PAGE.margin;
const RIGHT = PAGE.width - PAGE.margin;
const WIDTH = RIGHT - LEFT;
const LABEL_WIDTH = 112;
/** Where the foot begins, and what the part above it needs. */
const FOOT = PAGE.height - 74;
const VERIFICATION_HEIGHT = 156;
const INK = '#1b1b1f';
const QUIET = '#5c6068';
const HAIR = '#c9ccd1';

type Doc = PDFKit.PDFDocument;

/** Bytes of the unsigned file. */
export async function renderCertificate(view: CertificateView, fonts: Fonts): Promise<Uint8Array> {
  const words = WORDS[view.language];
  const { payload } = view;
  const issuedAt = new Date(payload.issuedAt);
  const doc = new PDFDocument({
    subset: 'PDF/A-3b',
    pdfVersion: '1.7',
    size: 'A4',
    margin: PAGE.margin,
    lang: words.locale,
    displayTitle: true,
    // Nothing is written in the standard fonts: they are never embedded, and PDF/A wants every font to be.
    font: fonts.sans as unknown as string,
    info: {
      Title: `${words.title} ${payload.number}`,
      Author: view.brand.name,
      Creator: 'Proofline',
      Producer: 'Proofline',
      CreationDate: issuedAt,
      ModDate: issuedAt,
    },
  });
  escapeMetadata(doc);
  const whole = collect(doc);
  for (const face of ['serif', 'sans', 'strong', 'mono'] as const)
    doc.registerFont(face, fonts[face] as unknown as string);
  doc.file(Buffer.from(view.payloadBytes), {
    name: ATTACHMENT,
    type: 'application/json',
    description: words.title,
    relationship: 'Source',
    creationDate: issuedAt,
    modifiedDate: issuedAt,
  } as PDFKit.Mixins.PDFAttachmentOptions);
  drawPage(doc, view, words);
  doc.end();
  return whole;
}

/** The library writes names into the XMP metadata as they are: one with `&` would make it no XML (ISO 16684-1). */
function escapeMetadata(doc: Doc): void {
  const inner = doc as unknown as { info: Record<string, unknown>; _addInfo(): void };
  const write = inner._addInfo.bind(inner);
  inner._addInfo = () => {
    const { info } = inner;
    const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };
    const asXml = (text: string): string => text.replaceAll(/[&<>]/g, (char) => entities[char] ?? char);
    inner.info = Object.fromEntries(
      Object.entries(info).map(([key, value]) => [key, typeof value === 'string' ? asXml(value) : value]),
    );
    write();
    inner.info = info;
  };
}

function collect(doc: Doc): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    doc.on('data', (part: Buffer) => parts.push(part));
    doc.on('end', () => resolve(Buffer.concat(parts)));
    doc.on('error', reject);
  });
}

function drawPage(doc: Doc, view: CertificateView, words: Words): void {
  const { payload, brand } = view;
  openPage(doc, brand.colour);
  let y = drawHead(doc, view, words);
  y = drawStatement(doc, view, words, y);
  y = drawDigest(doc, payload, words, brand.colour, y + 16);
  y = drawFacts(doc, view, words, y + 14);
  y = drawLimits(doc, limitsOf(view, words), words, y + 12);
  const pages = y + 14 + VERIFICATION_HEIGHT <= FOOT ? 1 : 2;
  if (pages === 2) {
    // Long names, a long digest and every limit at once leave no room below them.
    drawFoot(doc, view, words, 1, pages);
    doc.addPage();
    openPage(doc, brand.colour);
    y = 40;
  }
  drawVerification(doc, payload, words, brand.colour, y + 14);
  drawFoot(doc, view, words, pages, pages);
}

/** What is placed low must not call for another page by itself. */
function openPage(doc: Doc, colour: string): void {
  doc.page.margins.bottom = 0;
  doc.rect(0, 0, PAGE.width, 9).fill(colour);
}

function text(doc: Doc, face: Face, size: number, colour: string): Doc {
  return doc.font(face).fontSize(size).fillColor(colour);
}

function drawHead(doc: Doc, { payload, brand }: CertificateView, words: Words): number {
  const top = 40;
  let x = LEFT;
  if (brand.logo !== undefined) {
    doc.image(Buffer.from(brand.logo), LEFT, top - 4, { fit: [64, 34] });
    x += 76;
  }
  text(doc, 'serif', brand.name.length > 48 ? 10.5 : 15, brand.colour).text(brand.name, x, top, {
    width: RIGHT - 190 - x,
    lineGap: 1,
  });
  const nameEnd = doc.y;
  text(doc, 'sans', 7.5, QUIET).text(words.number.toUpperCase(), RIGHT - 190, top, {
    width: 190,
    align: 'right',
    characterSpacing: 0.8,
  });
  text(doc, 'mono', 10, INK).text(payload.number, RIGHT - 190, top + 11, { width: 190, align: 'right' });
  text(doc, 'sans', 8.5, QUIET).text(words.issued(tellInstant(words, payload.issuedAt).date), RIGHT - 190, top + 26, {
    width: 190,
    align: 'right',
  });
  const y = Math.max(doc.y, nameEnd, top + 34) + 12;
  doc.moveTo(LEFT, y).lineTo(RIGHT, y).lineWidth(1.1).stroke(brand.colour);
  doc
    .moveTo(LEFT, y + 2.6)
    .lineTo(RIGHT, y + 2.6)
    .lineWidth(0.35)
    .stroke(brand.colour);
  text(doc, 'serif', 25, INK).text(words.title, LEFT, y + 26, { width: WIDTH, align: 'center' });
  return doc.y + 12;
}

function drawStatement(doc: Doc, { payload, holder }: CertificateView, words: Words, y: number): number {
  const { date, clock } = tellInstant(words, payload.timestamp.time);
  text(doc, 'serif', 11.5, INK).text(words.statement(holder, date, clock), LEFT + 18, y, {
    width: WIDTH - 36,
    align: 'center',
    lineGap: 3,
  });
  return doc.y;
}

/** The digest in groups of eight digits, four a line, so that people can compare it. */
function drawDigest(doc: Doc, { digest }: CertificatePayload, words: Words, colour: string, y: number): number {
  const groups = digest.value.match(/.{1,8}/g) ?? [];
  const perLine = groups.length > 8 ? 6 : 4;
  const lines: string[] = [];
  for (let i = 0; i < groups.length; i += perLine) lines.push(groups.slice(i, i + perLine).join(' '));
  const size = perLine === 4 ? 13 : 10;
  const height = 32 + lines.length * (size + 5);
  doc.roundedRect(LEFT, y, WIDTH, height, 3).fillOpacity(1).fill('#f5f6f8');
  doc.rect(LEFT, y, 3, height).fill(colour);
  text(doc, 'sans', 7.5, QUIET).text(words.digestOf(digest.alg.toUpperCase()).toUpperCase(), LEFT, y + 10, {
    width: WIDTH,
    align: 'center',
    characterSpacing: 0.8,
  });
  lines.forEach((line, i) => {
    text(doc, 'mono', size, INK).text(line, LEFT, y + 24 + i * (size + 5), { width: WIDTH, align: 'center' });
  });
  return y + height;
}

function drawFacts(doc: Doc, view: CertificateView, words: Words, from: number): number {
  const { payload, holder, laterAnchor } = view;
  const time = tellInstant(words, payload.timestamp.time);
  let y = from;
  const row = (label: string, lines: readonly (readonly [Face, number, string])[]): void => {
    text(doc, 'strong', 8.5, QUIET).text(label, LEFT, y + 1, { width: LABEL_WIDTH - 10 });
    const labelEnd = doc.y;
    let at = y;
    for (const [face, size, line] of lines) {
      text(doc, face, size, INK).text(line, LEFT + LABEL_WIDTH, at, { width: WIDTH - LABEL_WIDTH, lineGap: 1 });
      at = doc.y + 1;
    }
    y = Math.max(labelEnd, at) + 4;
    doc.moveTo(LEFT, y).lineTo(RIGHT, y).lineWidth(0.4).stroke(HAIR);
    y += 6;
  };
  doc.moveTo(LEFT, y).lineTo(RIGHT, y).lineWidth(0.4).stroke(HAIR);
  y += 6;
  row(words.labels.holder, [['strong', 10, holder]]);
  row(words.labels.time, [
    ['strong', 10, `${time.date}, ${time.clock} UTC`],
    ['sans', 9, words.timestampBy(payload.timestamp.tsa)],
  ]);
  row(words.labels.anchor, [['sans', 9, anchorWords(payload.anchor, words)]]);
  if (laterAnchor !== undefined) row(words.labels.later, [['sans', 9, anchorWords(laterAnchor, words)]]);
  row(words.labels.log, [
    ['sans', 9, words.logEntry(payload.log.index, payload.log.origin, payload.log.size)],
    ['mono', 7.5, payload.leaf],
  ]);
  row(words.labels.reference, [['mono', 8.5, payload.proof]]);
  return y - 6;
}

function anchorWords(anchor: CertificatePayload['anchor'] | AnchorEntry, words: Words): string {
  if ('none' in anchor) return words.notAnchored;
  const [seconds = '0', fraction = ''] = anchor.consensusTimestamp.split('.');
  const instant = `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}.${fraction.padEnd(9, '0')}Z`;
  const { date, clock } = tellInstant(words, instant);
  return words.anchored(
    networkKind(anchor.network),
    anchor.network,
    anchor.ledger === 'hedera-hcs/v1'
      ? words.messageOf(anchor.topicId, anchor.sequenceNumber)
      : words.callOf(anchor.contractId, anchor.transactionId),
    `${date}, ${clock}`,
  );
}

/** What a reader must know before relying on the page; empty on a public ledger with foreign authorities. */
export function limitsOf(view: CertificateView, words: Words): readonly string[] {
  const { anchor } = view.payload;
  const networks = ['none' in anchor ? undefined : anchor.network, view.laterAnchor?.network].filter(
    (network): network is string => network !== undefined,
  );
  return [
    ...(view.isDevelopmentKey ? [words.developmentKey] : []),
    ...new Set(
      networks.flatMap((network) => {
        const kind = networkKind(network);
        if (kind === 'public') return [];
        return [kind === 'test' ? words.testNetwork(network) : words.simulated];
      }),
    ),
    ...(view.isTimestampSelfOperated ? [words.selfOperated] : []),
  ];
}

function drawLimits(doc: Doc, limits: readonly string[], words: Words, y: number): number {
  if (limits.length === 0) return y - 12;
  text(doc, 'strong', 8.5, '#8a4b08').text(words.limits, LEFT, y, { width: LABEL_WIDTH - 10 });
  let at = y;
  for (const limit of limits) {
    text(doc, 'sans', 8.5, '#8a4b08').text(limit, LEFT + LABEL_WIDTH, at, { width: WIDTH - LABEL_WIDTH, lineGap: 0.5 });
    at = doc.y + 2;
  }
  return at;
}

/** The print flag, which PDF/A asks of every annotation; the types do not know it. */
const PRINTED = { F: 4 } as PDFKit.Mixins.AnnotationOption;
const QR_SIZE = 92;

function drawVerification(doc: Doc, payload: CertificatePayload, words: Words, colour: string, y: number): void {
  const column = (WIDTH - QR_SIZE - 44) / 2;
  heading(words.proves, LEFT);
  let at = y + 18;
  for (const line of words.provesText) {
    text(doc, 'sans', 8.5, INK).text(line, LEFT, at, { width: column, lineGap: 1 });
    at = doc.y + 4;
  }
  const middle = LEFT + column + 22;
  heading(words.verify, middle);
  at = y + 18;
  words.verifySteps(payload.digest.alg.toUpperCase(), ATTACHMENT).forEach((step, i) => {
    text(doc, 'strong', 8.5, colour).text(String(i + 1), middle, at, { width: 10 });
    text(doc, 'sans', 8.5, INK).text(step, middle + 12, at, { width: column - 12, lineGap: 1 });
    at = doc.y + 4;
  });
  const left = RIGHT - QR_SIZE;
  drawQr(doc, payload.links.verify, left, y);
  text(doc, 'sans', 7.5, QUIET).text(words.scan, left, y + QR_SIZE + 5, { width: QR_SIZE, align: 'center' });

  function heading(words: string, x: number): void {
    text(doc, 'strong', 9.5, colour).text(words, x, y, { width: column });
  }
}

function drawQr(doc: Doc, url: string, left: number, top: number): void {
  const modules = qrModules(url);
  const unit = QR_SIZE / modules.length;
  for (const [x, y, width] of qrRuns(modules)) doc.rect(left + x * unit, top + y * unit, width * unit, unit);
  doc.fill('#000000');
  doc.link(left, top, QR_SIZE, QR_SIZE, url, PRINTED);
}

function drawFoot(
  doc: Doc,
  { payload, payloadBytes, brand }: CertificateView,
  words: Words,
  page: number,
  pages: number,
): void {
  const y = FOOT;
  const { verify } = payload.links;
  doc.moveTo(LEFT, y).lineTo(RIGHT, y).lineWidth(0.4).stroke(HAIR);
  text(doc, 'mono', 8, brand.colour).text(verify, LEFT, y + 7, { width: WIDTH, lineBreak: false });
  doc.link(LEFT, y + 6, Math.min(WIDTH, doc.widthOfString(verify)), 11, verify, PRINTED);
  const sha256 = createHash('sha256').update(payloadBytes).digest('hex');
  text(doc, 'sans', 7, QUIET).text(words.footer(sha256), LEFT, y + 22, { width: WIDTH - 70, lineGap: 1 });
  text(doc, 'sans', 7, QUIET).text(words.page(page, pages), RIGHT - 66, y + 22, { width: 66, align: 'right' });
}
