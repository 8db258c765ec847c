import pg from 'pg';

/**
 * Everything that migrations make in schema `public`, one line of text each, sorted: what Prisma's own comparison does
 * not see (policies, grants, functions, checks, storage options) included. Daily partitions of `events` are made by a
 * function as days pass, so they and Prisma's own table are left out.
 */
export async function readCatalog(url: string): Promise<readonly string[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    await client.query('SET search_path = pg_catalog');
    const lines: string[] = [];
    for (const sql of QUERIES) {
      const { rows } = await client.query<{ line: string }>(sql);
      lines.push(...rows.map((row) => row.line));
    }
    return lines.sort();
  } finally {
    await client.end();
  }
}

const IN_PUBLIC = `relnamespace = 'public'::regnamespace AND relname !~ '^(events_[0-9]{8}|_prisma_migrations)'`;
/** Default rights spelt out, so that "never granted" and "granted as by default" are one. */
const rights = (acl: string, kind: string, owner: string): string =>
  `(SELECT string_agg(CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END || '=' || privilege_type, ' ' ORDER BY grantee, privilege_type)
    FROM aclexplode(coalesce(${acl}, acldefault('${kind}', ${owner}))))`;

const QUERIES: readonly string[] = [
  `SELECT format('relation %s kind=%s owner=%s rls=%s force=%s options=%s rights: %s', relname, relkind, pg_get_userbyid(relowner), relrowsecurity,
     relforcerowsecurity, reloptions, ${rights('relacl', 'r', 'relowner')}) AS line
   FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm') AND ${IN_PUBLIC}`,
  `SELECT format('sequence %s type=%s start=%s step=%s min=%s max=%s cycle=%s owner=%s rights: %s', relname, seqtypid::regtype, seqstart, seqincrement, seqmin,
     seqmax, seqcycle, pg_get_userbyid(relowner), ${rights('relacl', 's', 'relowner')}) AS line
   FROM pg_class JOIN pg_sequence ON seqrelid = pg_class.oid WHERE ${IN_PUBLIC}`,
  `SELECT format('column %s.%s %s notnull=%s default=%s identity=%s generated=%s storage=%s rights: %s', relname, attname, format_type(atttypid, atttypmod), attnotnull,
     pg_get_expr(adbin, adrelid), attidentity, attgenerated, attstorage, (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(attacl) a)) AS line
   FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
   WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'v', 'm') AND ${IN_PUBLIC}`,
  `SELECT format('index %s valid=%s', pg_get_indexdef(indexrelid), indisvalid) AS line FROM pg_index JOIN pg_class ON pg_class.oid = indrelid WHERE ${IN_PUBLIC}`,
  `SELECT format('constraint %s.%s %s validated=%s', relname, conname, pg_get_constraintdef(pg_constraint.oid), convalidated) AS line
   FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid WHERE ${IN_PUBLIC}`,
  `SELECT format('policy %s.%s permissive=%s command=%s roles=%s using=%s check=%s', relname, polname, polpermissive, polcmd,
     (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(r) END, ',' ORDER BY r) FROM unnest(polroles) r), pg_get_expr(polqual, polrelid),
     pg_get_expr(polwithcheck, polrelid)) AS line
   FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid WHERE ${IN_PUBLIC}`,
  `SELECT format('trigger %s enabled=%s', pg_get_triggerdef(pg_trigger.oid), tgenabled) AS line
   FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE NOT tgisinternal AND ${IN_PUBLIC}`,
  `SELECT format('view %s %s', relname, pg_get_viewdef(oid)) AS line FROM pg_class WHERE relkind IN ('v', 'm') AND ${IN_PUBLIC}`,
  `SELECT format('function %s(%s) owner=%s rights: %s body: %s', proname, pg_get_function_identity_arguments(oid), pg_get_userbyid(proowner),
     ${rights('proacl', 'f', 'proowner')}, pg_get_functiondef(oid)) AS line
   FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prokind <> 'a'`,
  `SELECT format('type %s kind=%s owner=%s labels=%s attributes=%s rights: %s', typname, typtype, pg_get_userbyid(typowner),
     (SELECT array_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid),
     (SELECT array_agg(attname || ' ' || format_type(atttypid, atttypmod) ORDER BY attnum) FROM pg_attribute WHERE attrelid = typrelid AND attnum > 0 AND NOT attisdropped),
     ${rights('typacl', 'T', 'typowner')}) AS line
   FROM pg_type t WHERE typnamespace = 'public'::regnamespace
     AND (typtype IN ('e', 'd', 'r') OR typtype = 'c' AND EXISTS (SELECT FROM pg_class WHERE oid = typrelid AND relkind = 'c'))`,
  `SELECT format('schema public owner=%s rights: %s', pg_get_userbyid(nspowner), ${rights('nspacl', 'n', 'nspowner')}) AS line
   FROM pg_namespace WHERE nspname = 'public'`,
  `SELECT format('extension %s %s', extname, extversion) AS line FROM pg_extension`,
];
