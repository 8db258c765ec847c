/** The typefaces of the page (Source Serif, Sans and Code by Adobe, SIL Open Font License 1.1), read once; each file embeds the glyphs it uses. */
import { readFileSync } from 'node:fs';

const ROOT = new URL('../../node_modules/@expo-google-fonts/', import.meta.url);
const FILES = {
  serif: 'source-serif-4/500Medium/SourceSerif4_500Medium.ttf',
  sans: 'source-sans-3/400Regular/SourceSans3_400Regular.ttf',
  strong: 'source-sans-3/600SemiBold/SourceSans3_600SemiBold.ttf',
  mono: 'source-code-pro/400Regular/SourceCodePro_400Regular.ttf',
} as const;

export type Face = keyof typeof FILES;
export type Fonts = Readonly<Record<Face, Buffer>>;

/** Reads the font files: 1.2 MB, once a process. */
export function loadFonts(): Fonts {
  // A blank glyph at the very end of a file has no bytes, and the font reader looks at ten of them all the same.
  const read = (face: Face): Buffer => Buffer.concat([readFileSync(new URL(FILES[face], ROOT)), Buffer.alloc(16)]);
  return { serif: read('serif'), sans: read('sans'), strong: read('strong'), mono: read('mono') };
}
