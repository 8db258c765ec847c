/** Every word on the page, in English and French. Numbers, names and hashes are arguments. */
import type { Language, NetworkKind } from './certificate-view.ts';

export interface Words {
  readonly locale: string;
  readonly title: string;
  readonly number: string;
  readonly issued: (date: string) => string;
  /** The sentence that the page exists for. */
  readonly statement: (holder: string, date: string, clock: string) => string;
  readonly digestOf: (alg: string) => string;
  readonly labels: {
    readonly holder: string;
    readonly time: string;
    readonly anchor: string;
    readonly log: string;
    readonly reference: string;
    readonly later: string;
  };
  readonly timestampBy: (authority: string) => string;
  readonly anchored: (kind: NetworkKind, network: string, place: string, time: string) => string;
  readonly messageOf: (topic: string, message: string) => string;
  readonly callOf: (contract: string, transaction: string) => string;
  readonly notAnchored: string;
  readonly logEntry: (index: string, origin: string, size: string) => string;
  readonly proves: string;
  readonly provesText: readonly string[];
  readonly verify: string;
  readonly verifySteps: (alg: string, attachment: string) => readonly string[];
  readonly scan: string;
  readonly limits: string;
  readonly testNetwork: (network: string) => string;
  readonly simulated: string;
  readonly selfOperated: string;
  readonly developmentKey: string;
  readonly footer: (sha256: string) => string;
  readonly page: (n: number, of: number) => string;
  readonly date: (year: number, month: number, day: number) => string;
}

const ENGLISH_MONTHS = 'January February March April May June July August September October November December'.split(
  ' ',
);
const FRENCH_MONTHS = 'janvier février mars avril mai juin juillet août septembre octobre novembre décembre'.split(' ');

const en: Words = {
  locale: 'en-GB',
  title: 'Certificate of Digital Proof',
  number: 'Certificate',
  issued: (date) => `Issued on ${date}`,
  statement: (holder, date, clock) =>
    `It is hereby certified that the digital content whose fingerprint appears below, submitted by ${holder}, existed on ${date} at ${clock} (UTC) and that any later change to it can be detected.`,
  digestOf: (alg) => `Fingerprint (${alg})`,
  labels: {
    holder: 'Holder',
    time: 'Certified time',
    anchor: 'Ledger anchor',
    log: 'Transparency log',
    reference: 'Proof',
    later: 'Addendum',
  },
  timestampBy: (authority) => `RFC 3161 timestamp by the authority “${authority}”`,
  anchored: (kind, network, place, time) =>
    `Recorded on the ${kind === 'public' ? `Hedera ${network} public ledger` : kind === 'test' ? `Hedera ${network} test ledger` : `simulated ledger “${network}”`}, ${place}, at consensus time ${time} (UTC).`,
  messageOf: (topic, message) => `topic ${topic}, message no. ${message}`,
  callOf: (contract, transaction) => `contract ${contract}, transaction ${transaction}`,
  notAnchored:
    'No ledger anchor covered this proof when the certificate was drafted. It rests on the signed log and the RFC 3161 timestamp.',
  logEntry: (index, origin, size) =>
    `Entry no. ${index} of the log ${origin}, under the signed tree of ${size} ${size === '1' ? 'entry' : 'entries'}`,
  proves: 'What this certificate proves',
  provesText: [
    'That content with exactly this fingerprint existed at the certified time, and was sealed under the holder’s account.',
    'It does not say who created the content, whether it is true, or who owns rights in it.',
  ],
  verify: 'How to verify it',
  verifySteps: (alg, attachment) => [
    `Compute the ${alg} fingerprint of the file; it must equal the one above, digit for digit.`,
    'Open the address below, or scan the code, and compare number, fingerprint and time.',
    `Without trusting us: run “proofline verify” on this PDF and on the bundle from there, with no network. The signed data are attached as ${attachment}.`,
  ],
  scan: 'Verification page',
  limits: 'Limits',
  testNetwork: (network) =>
    `The ledger is the test network ${network}: its records may be erased and carry no weight as public evidence.`,
  simulated: 'The ledger is a simulator on one machine: its records are no public evidence.',
  selfOperated:
    'The timestamp authority is operated by the issuer itself; it is not an independent or qualified third party.',
  developmentKey: 'This document is signed with a development key: it is a specimen without evidential value.',
  footer: (sha256) =>
    `Electronically signed and timestamped (PAdES); printed copies carry no signature. SHA-256 of the attached canonical JSON: ${sha256}`,
  page: (n, of) => `Page ${n} of ${of}`,
  date: (year, month, day) => `${day} ${ENGLISH_MONTHS[month - 1]} ${year}`,
};

// A French colon, semicolon or quotation mark never stands alone at the end or head of a line: no-break spaces before and in them.
const fr: Words = {
  locale: 'fr-FR',
  title: 'Certificat de preuve numérique',
  number: 'Certificat',
  issued: (date) => `Délivré le ${date}`,
  statement: (holder, date, clock) =>
    `Il est certifié que le contenu numérique dont l’empreinte figure ci-dessous, déposé par ${holder}, existait le ${date} à ${clock} (UTC) et que toute modification ultérieure peut être détectée.`,
  digestOf: (alg) => `Empreinte (${alg})`,
  labels: {
    holder: 'Titulaire',
    time: 'Heure certifiée',
    anchor: 'Ancrage',
    log: 'Journal de transparence',
    reference: 'Preuve',
    later: 'Additif',
  },
  timestampBy: (authority) => `Horodatage RFC 3161 de l’autorité «\u00a0${authority}\u00a0»`,
  anchored: (kind, network, place, time) =>
    `Inscrit sur le ${kind === 'public' ? `registre public Hedera ${network}` : kind === 'test' ? `registre de test Hedera ${network}` : `registre simulé «\u00a0${network}\u00a0»`}, ${place}, à l’heure de consensus du ${time} (UTC).`,
  messageOf: (topic, message) => `sujet ${topic}, message nº\u00a0${message}`,
  callOf: (contract, transaction) => `contrat ${contract}, transaction ${transaction}`,
  notAnchored:
    'Aucun ancrage ne couvrait cette preuve lors de la rédaction du certificat. Elle repose sur le journal signé et sur l’horodatage RFC 3161.',
  logEntry: (index, origin, size) =>
    `Entrée nº\u00a0${index} du journal ${origin}, sous l’arbre signé de ${size} ${size === '1' ? 'entrée' : 'entrées'}`,
  proves: 'Ce que prouve ce certificat',
  provesText: [
    'Qu’un contenu portant exactement cette empreinte existait à l’heure certifiée et a été scellé sous le compte du titulaire.',
    'Il ne dit ni qui a créé ce contenu, ni s’il est exact, ni à qui appartiennent les droits.',
  ],
  verify: 'Comment le vérifier',
  verifySteps: (alg, attachment) => [
    `Calculez l’empreinte ${alg} du fichier\u00a0: elle doit être égale à celle ci-dessus, chiffre pour chiffre.`,
    'Ouvrez l’adresse ci-dessous ou scannez le code, puis comparez numéro, empreinte et heure.',
    `Sans nous faire confiance\u00a0: lancez «\u00a0proofline verify\u00a0» sur ce PDF et sur le dossier de preuve, hors ligne. Les données signées sont jointes\u00a0: ${attachment}.`,
  ],
  scan: 'Page de vérification',
  limits: 'Réserves',
  testNetwork: (network) =>
    `Le registre est le réseau de test ${network}\u00a0: ses inscriptions peuvent être effacées et n’ont pas valeur de preuve publique.`,
  simulated:
    'Le registre est un simulateur sur une seule machine\u00a0: ses inscriptions ne sont pas une preuve publique.',
  selfOperated:
    'L’autorité d’horodatage est exploitée par l’émetteur lui-même\u00a0: ce n’est ni un tiers indépendant ni un tiers qualifié.',
  developmentKey: 'Ce document est signé par une clé de développement\u00a0: c’est un spécimen sans valeur probante.',
  footer: (sha256) =>
    `Signé et horodaté électroniquement (PAdES)\u00a0; une copie imprimée ne porte pas de signature. SHA-256 du JSON canonique joint\u00a0: ${sha256}`,
  page: (n, of) => `Page ${n} sur ${of}`,
  date: (year, month, day) => `${day === 1 ? '1er' : day} ${FRENCH_MONTHS[month - 1]} ${year}`,
};

export const WORDS: Readonly<Record<Language, Words>> = { en, fr };

/** `2026-11-23T04:23:10.123456Z` → date in words, and the clock as it stands, without trailing zeros. */
export function tellInstant(words: Words, instant: string): { readonly date: string; readonly clock: string } {
  const [year = 0, month = 1, day = 1] = instant.slice(0, 10).split('-').map(Number);
  const clock = instant
    .slice(11, -1)
    .replace(/(\.\d*?)0+$/, '$1')
    .replace(/\.$/, '');
  return { date: words.date(year, month, day), clock };
}
