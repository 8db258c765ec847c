import encodeQR from 'qr';

/** Modules of a QR code with 15 % error correction, without a border. */
export function qrModules(text: string): readonly (readonly boolean[])[] {
  const bordered: boolean[][] = encodeQR(text, 'raw', { ecc: 'medium', border: 1 });
  return bordered.slice(1, -1).map((row) => row.slice(1, -1));
}

/** The dark modules as rectangles, one per run in a row: `[x, y, width]` in modules. */
export function qrRuns(modules: readonly (readonly boolean[])[]): readonly (readonly [number, number, number])[] {
  const runs: (readonly [number, number, number])[] = [];
  modules.forEach((row, y) => {
    for (let x = 0; x < row.length; x++) {
      if (!row[x]) continue;
      const start = x;
      while (row[x + 1]) x++;
      runs.push([start, y, x - start + 1]);
    }
  });
  return runs;
}
