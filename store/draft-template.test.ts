import { describe, expect, it } from '@jest/globals';
import type { TenantId } from '../domain/ids.ts';
import { type DraftGroup, draftTemplate } from './draft-template.ts';

const GROUP: DraftGroup = {
  tenantId: '00000000-0000-4000-8000-000000000001' as TenantId,
  origin: 'log.example/a%20b',
  publicUrl: 'https://p.example/%s',
  at: '2026-01-31T09:00:00.000000Z',
  anchorPolicy: 'NONE',
  coverage: { timestamp: { size: '5', root: 'r', named: { tsa: 'é "tsa"', tokenSha256: '00', time: 't' } } },
  grantId: 'g',
  period: 0,
};

describe('the template of a draft', () => {
  it('keeps what Postgres would take for its own, and puts each argument where it belongs', () => {
    const template = draftTemplate(GROUP);
    expect(template).toContain('"origin":"log.example/a%%20b"');
    expect(template).toContain('"tsa":"é \\"tsa\\""');
    expect(template).toContain('"proof":"https://p.example/%%s/v1/proofs/%2$s"');
    expect(template.match(/%\d\$s/g)?.sort()).toEqual([
      '%1$s',
      '%2$s',
      '%2$s',
      '%2$s',
      '%2$s',
      '%3$s',
      '%4$s',
      '%5$s',
      '%6$s',
    ]);
    expect(template).toContain('"digest":{"alg":"%3$s","value":"%4$s"}');
  });

  it('refuses shared parts in which an argument would be written', () => {
    expect(() => draftTemplate({ ...GROUP, grantId: 'g\uE002' })).toThrow('U+E002');
  });
});
