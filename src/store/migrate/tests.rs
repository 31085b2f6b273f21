use super::*;

/// Migrations that lock a table which an earlier release has made, and why that is all right.
const EXCUSED: &[(Dialect, &str, &str)] = &[
    (
        Dialect::Postgres,
        "V5__roll_ups",
        "the trigger's lock keeps writers out for a moment only: no row is read",
    ),
    (
        Dialect::Sqlite,
        "V6__roll_up_earlier_rows",
        "a second or so for each million rows, while rows wait in the spool",
    ),
];

/// What breaks the house rule of `migrations/README.md`.
fn offences(dialect: Dialect, all: &[Migration]) -> Vec<String> {
    let mut offences = Vec::new();
    for (at, one) in all.iter().enumerate() {
        let before = all[..at].iter().filter_map(Migration::sql);
        let locks = locks::estimate(dialect, before, one.sql()).remove(0);
        let is_bad = |lock: &&Lock| match dialect {
            Dialect::Postgres => lock.rewrites || lock.blocks_somebody(),
            // Any change locks the file; what counts is for how long.
            Dialect::Sqlite => lock.rewrites,
        };
        let name = schema::label(one);
        if EXCUSED.iter().all(|(of, excused, _)| *of != dialect || *excused != name) {
            let bad = locks.iter().filter(is_bad);
            offences.extend(bad.map(|lock| format!("{name}: {} {}", lock.table, lock.mode)));
        }
    }
    offences
}

#[test]
fn no_migration_rewrites_or_blocks_a_table_that_is_in_use() {
    for (dialect, all) in
        [(Dialect::Postgres, schema::postgres()), (Dialect::Sqlite, schema::sqlite())]
    {
        assert!(all.len() >= 4, "{dialect:?}: the migrations are there");
        assert_eq!(offences(dialect, &all), Vec::<String>::new(), "{dialect:?}");
    }
    for (_, name, reason) in EXCUSED {
        assert!(schema::postgres().iter().any(|one| schema::label(one) == *name), "{name}");
        assert!(reason.len() > 20, "{name} needs a reason");
    }
}

#[test]
fn one_that_does_is_found() {
    for bad in [
        "ALTER TABLE usage ADD COLUMN note text DEFAULT md5(random()::text)",
        "CREATE INDEX usage_by_note ON usage (error)",
        "UPDATE usage SET error = NULL",
        "what is this?",
    ] {
        let mut all = schema::postgres();
        all.push(Migration::unapplied("V999__bad", bad).unwrap());
        let found = offences(Dialect::Postgres, &all);
        assert!(found.len() == 1 && found[0].starts_with("V999__bad: "), "{bad}: {found:?}");
    }
}
