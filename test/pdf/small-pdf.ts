/** The smallest PDF that carries a certificate: one empty page and the attachment. For vectors and hostile variations. */
import { Buffer } from 'node:buffer';

/** Bytes of the unsigned file. Same JSON, same bytes. */
export function smallPdf(json: Uint8Array, text = 'Certificate'): Uint8Array {
  const content = Buffer.from(`BT /F1 12 Tf 72 720 Td (${text}) Tj ET`);
  const stream = (head: string, body: Uint8Array): Buffer =>
    Buffer.concat([Buffer.from(`<<${head} /Length ${body.length}>>\nstream\n`), body, Buffer.from('\nendstream')]);
  const objects: (string | Buffer)[] = [
    '<</Type /Catalog /Pages 2 0 R /Names <</EmbeddedFiles <</Names [(certificate.json) 6 0 R]>>>> /AF [6 0 R]>>',
    '<</Type /Pages /Kids [3 0 R] /Count 1>>',
    '<</Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources <</Font <</F1 5 0 R>>>>>>',
    stream('', content),
    '<</Type /Font /Subtype /Type1 /BaseFont /Helvetica>>',
    '<</Type /Filespec /F (certificate.json) /UF (certificate.json) /AFRelationship /Source /EF <</F 7 0 R>>>>',
    stream(' /Type /EmbeddedFile /Subtype /application#2Fjson', json),
  ];
  const parts = [Buffer.from('%PDF-1.7\n%\xe2\xe3\xcf\xd3\n', 'latin1')];
  let at = parts[0]?.length ?? 0;
  let table = '0000000000 65535 f \n';
  objects.forEach((object, i) => {
    const whole = Buffer.concat([Buffer.from(`${i + 1} 0 obj\n`), Buffer.from(object), Buffer.from('\nendobj\n')]);
    table += `${String(at).padStart(10, '0')} 00000 n \n`;
    parts.push(whole);
    at += whole.length;
  });
  const id = `<${'5a'.repeat(16)}>`;
  parts.push(
    Buffer.from(
      `xref\n0 ${objects.length + 1}\n${table}trailer\n<</Size ${objects.length + 1} /Root 1 0 R /ID [${id} ${id}]>>\nstartxref\n${at}\n%%EOF\n`,
    ),
  );
  return new Uint8Array(Buffer.concat(parts));
}
