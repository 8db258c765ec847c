/** The typefaces of the page (Source Serif, Sans and Code by Adobe, SIL Open Font License 1.1), read once; each file embeds the glyphs it uses. */
import { readFileSync } from 'node:fs';
import { create, type Font, type GlyphRun } from 'fontkit';

const ROOT = new URL('../../node_modules/@expo-google-fonts/', import.meta.url);
const FILES = {
  serif: 'source-serif-4/500Medium/SourceSerif4_500Medium.ttf',
  sans: 'source-sans-3/400Regular/SourceSans3_400Regular.ttf',
  strong: 'source-sans-3/600SemiBold/SourceSans3_600SemiBold.ttf',
  mono: 'source-code-pro/400Regular/SourceCodePro_400Regular.ttf',
} as const;

export type Face = keyof typeof FILES;
export type Fonts = Readonly<Record<Face, Font>>;

/**
 * Reads and parses the font files: 1.2 MB, once a process. Parsed fonts are shared by all files, since parsing costs more than all
 * the rest of a page; what a file embeds it keeps for itself.
 */
export function loadFonts(): Fonts {
  return { serif: load('serif'), sans: load('sans'), strong: load('strong'), mono: load('mono') };
}

function load(face: Face): Font {
  // A blank glyph at the very end of a file has no bytes, and the font reader looks at ten of them all the same.
  const bytes = Buffer.concat([readFileSync(new URL(FILES[face], ROOT)), Buffer.alloc(16)]);
  const font = create(bytes);
  if (!('layout' in font)) throw new Error(`${FILES[face]} is a collection`);
  rememberWords(font);
  return font;
}

const MAX_WORDS = 4_096;

/**
 * The words of a page are nearly those of the last one, and shaping them is the largest part of drawing it. The oldest are
 * forgotten first. Positions are handed out as copies, since the writer scales them in place.
 */
function rememberWords(font: Font): void {
  const words = new Map<string, GlyphRun>();
  const shape = font.layout.bind(font);
  font.layout = (text, ...features) => {
    if (features.some((feature) => feature !== undefined)) return shape(text, ...features);
    let run = words.get(text);
    if (run === undefined) {
      run = shape(text);
      const [oldest] = words.size < MAX_WORDS ? [] : words.keys();
      if (oldest !== undefined) words.delete(oldest);
      words.set(text, run);
    }
    const copy: GlyphRun = Object.create(run, {
      positions: { value: run.positions.map((position) => ({ ...position })) },
    });
    return copy;
  };
}
