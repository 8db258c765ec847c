/**
 * Levels of a certificate's PDF (ETSI EN 319 142-1): with a timestamp, with the revocation data of both chains, with a
 * document timestamp above all that, and that renewed: `B-LTA.2`, `B-LTA.3` … Each grows from the one before it.
 */
export type CertificateLevel = 'B-T' | 'B-LT' | 'B-LTA' | `B-LTA.${number}`;

const RENEWED = /^B-LTA\.([2-9]|[1-9][0-9]{1,2})$/;

export function isCertificateLevel(text: string): text is CertificateLevel {
  return text === 'B-T' || text === 'B-LT' || text === 'B-LTA' || RENEWED.test(text);
}

/** The level that grows from this one. */
export function nextLevel(level: CertificateLevel): CertificateLevel {
  if (level === 'B-T') return 'B-LT';
  if (level === 'B-LT') return 'B-LTA';
  return `B-LTA.${renewals(level) + 1}`;
}

/** The level that this one grows from; undefined for B-T, which grows from the rendered page. */
export function previousLevel(level: CertificateLevel): CertificateLevel | undefined {
  if (level === 'B-T') return undefined;
  if (level === 'B-LT') return 'B-T';
  const before = renewals(level) - 1;
  if (before === 0) return 'B-LT';
  return before === 1 ? 'B-LTA' : `B-LTA.${before}`;
}

/** Every level up to this one, lowest first. */
export function levelsUpTo(level: CertificateLevel): readonly CertificateLevel[] {
  const levels: CertificateLevel[] = [];
  for (let at: CertificateLevel | undefined = level; at !== undefined; at = previousLevel(at)) levels.unshift(at);
  return levels;
}

/** How many document timestamps a level of the B-LTA kind has: 1 for B-LTA itself. */
function renewals(level: CertificateLevel): number {
  return level === 'B-LTA' ? 1 : Number(RENEWED.exec(level)?.[1] ?? '1');
}
