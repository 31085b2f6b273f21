//! What users have created in a PostgreSQL database, and how to drop all of it.

/// Where the system catalogue keeps one kind of things. In the expressions, `x` is the thing and
/// `n` its schema.
struct Place {
    /// When it is best dropped.
    turn: u8,
    /// What `DROP` calls it.
    kind: &'static str,
    /// What it is called there.
    name: &'static str,
    catalog: &'static str,
    of: Of,
}

/// Which of the things are the users'.
enum Of {
    /// Those in the schema public, which this column leads to, as far as the condition holds; what
    /// is in other schemas goes with these.
    Public { schema: &'static str, condition: &'static str },
    /// Those of the whole database, of roles like one's own: others cannot be dropped anyway.
    Database { owner: &'static str },
    /// Schemas.
    Schemas,
}

const fn public(schema: &'static str) -> Of {
    Of::Public { schema, condition: "true" }
}

/// Event triggers go first: they would fire on everything else.
const PLACES: &[Place] = &[
    Place {
        turn: 1,
        kind: "'EVENT TRIGGER'",
        name: "format('%I', x.evtname)",
        catalog: "pg_event_trigger",
        of: Of::Database { owner: "evtowner" },
    },
    Place {
        turn: 2,
        kind: "'PUBLICATION'",
        name: "format('%I', x.pubname)",
        catalog: "pg_publication",
        of: Of::Database { owner: "pubowner" },
    },
    Place {
        turn: 3,
        kind: "'SCHEMA'",
        name: "format('%I', x.nspname)",
        catalog: "pg_namespace",
        of: Of::Schemas,
    },
    Place {
        turn: 4,
        kind: "CASE x.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' \
               WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'c' THEN 'TYPE' \
               ELSE 'TABLE' END",
        name: "format('%I.%I', n.nspname, x.relname)",
        catalog: "pg_class",
        of: Of::Public {
            schema: "relnamespace",
            condition: "x.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')",
        },
    },
    Place {
        turn: 5,
        kind: "'ROUTINE'",
        name: "x.oid::pg_catalog.regprocedure::text",
        catalog: "pg_proc",
        of: public("pronamespace"),
    },
    Place {
        turn: 6,
        kind: "'OPERATOR'",
        name: "x.oid::pg_catalog.regoperator::text",
        catalog: "pg_operator",
        of: public("oprnamespace"),
    },
    Place {
        turn: 7,
        kind: "'OPERATOR FAMILY'",
        name: "format('%I.%I USING %I', n.nspname, x.opfname, \
               (SELECT amname FROM pg_catalog.pg_am WHERE oid = x.opfmethod))",
        catalog: "pg_opfamily",
        of: public("opfnamespace"),
    },
    Place {
        turn: 8,
        kind: "'TYPE'",
        name: "format('%I.%I', n.nspname, x.typname)",
        catalog: "pg_type",
        of: Of::Public { schema: "typnamespace", condition: "x.typtype IN ('d', 'e', 'r')" },
    },
    Place {
        turn: 9,
        kind: "'COLLATION'",
        name: "format('%I.%I', n.nspname, x.collname)",
        catalog: "pg_collation",
        of: public("collnamespace"),
    },
    Place {
        turn: 10,
        kind: "'CONVERSION'",
        name: "format('%I.%I', n.nspname, x.conname)",
        catalog: "pg_conversion",
        of: public("connamespace"),
    },
    Place {
        turn: 11,
        kind: "'TEXT SEARCH CONFIGURATION'",
        name: "format('%I.%I', n.nspname, x.cfgname)",
        catalog: "pg_ts_config",
        of: public("cfgnamespace"),
    },
    Place {
        turn: 12,
        kind: "'TEXT SEARCH DICTIONARY'",
        name: "format('%I.%I', n.nspname, x.dictname)",
        catalog: "pg_ts_dict",
        of: public("dictnamespace"),
    },
    Place {
        turn: 13,
        kind: "'SERVER'",
        name: "format('%I', x.srvname)",
        catalog: "pg_foreign_server",
        of: Of::Database { owner: "srvowner" },
    },
    Place {
        turn: 14,
        kind: "'FOREIGN DATA WRAPPER'",
        name: "format('%I', x.fdwname)",
        catalog: "pg_foreign_data_wrapper",
        of: Of::Database { owner: "fdwowner" },
    },
];

impl Place {
    /// A query for these things, as `turn`, `kind` and `name`. What belongs to an extension is none.
    fn query(&self) -> String {
        let Self { turn, kind, name, catalog, of } = self;
        let (join, condition) = match of {
            Of::Public { schema, condition } => (
                format!("JOIN pg_catalog.pg_namespace n ON n.oid = x.{schema}"),
                format!("n.nspname = 'public' AND {condition}"),
            ),
            Of::Database { owner } => {
                (String::new(), format!("pg_catalog.pg_has_role(x.{owner}, 'USAGE')"))
            }
            Of::Schemas => (
                String::new(),
                "x.nspname !~ '^pg_' AND x.nspname NOT IN ('information_schema', 'public')"
                    .to_owned(),
            ),
        };
        format!(
            "SELECT {turn} AS turn, {kind} AS kind, {name} AS name FROM pg_catalog.{catalog} x {join} \
             WHERE {condition} AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.deptype = 'e' \
             AND d.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass AND d.objid = x.oid)"
        )
    }
}

fn things() -> String {
    PLACES.iter().map(Place::query).collect::<Vec<_>>().join(" UNION ALL ")
}

/// A query for one of the things, such as `TABLE public.usage`, with large objects among them.
pub(super) fn first() -> String {
    format!(
        "SELECT kind || ' ' || name FROM ({} UNION ALL SELECT 100, 'LARGE OBJECT', oid::text \
         FROM pg_catalog.pg_largeobject_metadata) t ORDER BY turn, name LIMIT 1",
        things()
    )
}

/// A statement that drops all of them. One may have gone with another meanwhile.
pub(super) fn emptying() -> String {
    format!(
        "DO $figw$\n\
         DECLARE\n    statement text;\n    statements text[];\n\
         BEGIN\n    \
             PERFORM pg_catalog.set_config('search_path', '', true);\n    \
             statements := ARRAY(SELECT format('DROP %s IF EXISTS %s CASCADE', kind, name) \
                                 FROM ({}) t ORDER BY turn, name);\n    \
             FOREACH statement IN ARRAY statements LOOP\n        \
                 EXECUTE statement;\n    \
             END LOOP;\n    \
             PERFORM pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata;\n\
         END\n$figw$;",
        things()
    )
}
