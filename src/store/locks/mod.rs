//! Which locks a migration takes on tables that are in use, read from its SQL.
//!
//! It is an estimate from outside: a trigger or a function may do more. Whatever cannot be read
//! counts as the strongest lock on everything.

mod alter;
mod statements;

use std::fmt;

use serde::{Serialize, Serializer};

use self::statements::Reader;

/// A database's dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Postgres,
    Sqlite,
}

/// How a table is locked; PostgreSQL's table-level locks from the weakest to the strongest, and
/// SQLite's only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// PostgreSQL: changes of rows.
    RowExclusive,
    /// PostgreSQL: against other changes of the schema.
    ShareUpdateExclusive,
    /// PostgreSQL: against writers.
    Share,
    /// PostgreSQL: against writers, and against itself.
    ShareRowExclusive,
    /// PostgreSQL: against all but readers.
    Exclusive,
    /// PostgreSQL: against everybody.
    AccessExclusive,
    /// SQLite: one writer in the whole file.
    Writer,
}

impl Mode {
    /// What the database calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RowExclusive => "ROW EXCLUSIVE",
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Self::Share => "SHARE",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Self::Exclusive => "EXCLUSIVE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
            Self::Writer => "WRITE",
        }
    }

    /// Whom it keeps from using the table.
    #[must_use]
    pub const fn blocks(self) -> Blocks {
        match self {
            Self::RowExclusive | Self::ShareUpdateExclusive => Blocks::Nobody,
            Self::Share | Self::ShareRowExclusive | Self::Exclusive | Self::Writer => {
                Blocks::Writes
            }
            Self::AccessExclusive => Blocks::Everything,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Whom a lock keeps from using the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Blocks {
    /// Nobody who reads or writes rows.
    #[serde(rename = "nobody")]
    Nobody,
    /// Whoever writes.
    #[serde(rename = "writes")]
    Writes,
    /// Everybody.
    #[serde(rename = "reads and writes")]
    Everything,
}

impl fmt::Display for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "nobody",
            Self::Writes => "writes",
            Self::Everything => "reads and writes",
        })
    }
}

/// What a lock is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A table, written as in SQL.
    Table(String),
    /// An SQLite file.
    WholeFile,
    /// Whatever a statement may touch that could not be read.
    Unknown,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table(name) => name,
            Self::WholeFile => "the whole file",
            Self::Unknown => "unknown",
        })
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A lock on a table that was there before the migrations that are pending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lock {
    /// The table.
    pub table: Subject,
    /// The strongest lock on it.
    pub mode: Mode,
    /// Whom that keeps from using it.
    pub blocks: Blocks,
    /// Whether every row is written anew, which takes longer the larger the table is.
    pub rewrites: bool,
    /// How large the table is now, with its indexes; PostgreSQL only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl Lock {
    fn new(table: Subject, mode: Mode, rewrites: bool) -> Self {
        Self { table, mode, blocks: mode.blocks(), rewrites, bytes: None }
    }

    /// Whether anybody who uses the table has to wait.
    #[must_use]
    pub fn blocks_somebody(&self) -> bool {
        self.blocks > Blocks::Nobody
    }
}

/// The locks of each pending migration. `before` is the SQL of those that have run: it tells which
/// table an index belongs to.
pub(super) fn estimate<'a>(
    dialect: Dialect,
    before: impl IntoIterator<Item = &'a str>,
    pending: impl IntoIterator<Item = &'a str>,
) -> Vec<Vec<Lock>> {
    let mut reader = Reader::new(dialect);
    for sql in before {
        reader.read(sql);
    }
    reader.forget_what_is_new();
    pending.into_iter().map(|sql| reader.read(sql)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "CREATE TABLE people (id bigint PRIMARY KEY, name text);
        CREATE TABLE pets (id bigint PRIMARY KEY, owner bigint REFERENCES people (id));
        CREATE INDEX pets_by_owner ON pets (owner);";

    /// `people SHARE` or, when every row is written anew, `people ACCESS EXCLUSIVE!`.
    fn locks(sql: &str) -> Vec<String> {
        let locks = estimate(Dialect::Postgres, [BEFORE], [sql]).remove(0);
        let one = |lock: &Lock| {
            format!("{} {}{}", lock.table, lock.mode, if lock.rewrites { "!" } else { "" })
        };
        locks.iter().map(one).collect()
    }

    #[test]
    fn what_nobody_uses_yet_is_no_lock() {
        assert_eq!(
            locks(
                "CREATE TABLE new (id int); CREATE INDEX new_id ON new (id); INSERT INTO new VALUES (1); ALTER TABLE new ADD COLUMN x int; UPDATE new SET x = 1; DROP TABLE new"
            ),
            Vec::<String>::new()
        );
        assert_eq!(
            locks("CREATE VIEW v AS SELECT 1; COMMENT ON TABLE people IS 'us'"),
            Vec::<String>::new()
        );
        let two = estimate(
            Dialect::Postgres,
            [BEFORE],
            ["CREATE TABLE new (id int)", "ALTER TABLE new ADD COLUMN x int"],
        );
        assert_eq!(two, [vec![], vec![]]);
        assert_eq!(
            locks(
                "CREATE TABLE new (id bigint); ALTER TABLE new RENAME TO newer; DROP TABLE newer"
            ),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_statement_locks_as_postgresql_does() {
        for (sql, expected) in [
            ("CREATE TABLE new (p bigint REFERENCES people (id))", "people SHARE ROW EXCLUSIVE"),
            (
                "CREATE TABLE new (p bigint, FOREIGN KEY (p) REFERENCES public.people (id))",
                "people SHARE ROW EXCLUSIVE",
            ),
            ("CREATE INDEX i ON people (name)", "people SHARE"),
            ("CREATE INDEX CONCURRENTLY i ON people (name)", "people SHARE UPDATE EXCLUSIVE"),
            ("DROP INDEX pets_by_owner", "pets ACCESS EXCLUSIVE"),
            ("DROP INDEX IF EXISTS somebody_elses", "unknown ACCESS EXCLUSIVE!"),
            ("DROP TABLE pets", "people ACCESS EXCLUSIVE, pets ACCESS EXCLUSIVE"),
            ("TRUNCATE people", "people ACCESS EXCLUSIVE"),
            ("INSERT INTO people VALUES (1, 'a')", "people ROW EXCLUSIVE"),
            ("UPDATE people SET name = 'b' WHERE id = 1", "people ROW EXCLUSIVE"),
            ("UPDATE people SET name = 'b'", "people ROW EXCLUSIVE!"),
            ("DELETE FROM people WHERE id = 1", "people ROW EXCLUSIVE"),
            ("LOCK TABLE people IN EXCLUSIVE MODE", "people EXCLUSIVE"),
            ("ALTER TABLE people ADD COLUMN x int", "people ACCESS EXCLUSIVE"),
            ("ALTER TABLE people ADD COLUMN x int NOT NULL DEFAULT -1", "people ACCESS EXCLUSIVE"),
            (
                "ALTER TABLE people ADD COLUMN x timestamptz DEFAULT now()",
                "people ACCESS EXCLUSIVE",
            ),
            (
                "ALTER TABLE people ADD COLUMN x uuid DEFAULT gen_random_uuid()",
                "people ACCESS EXCLUSIVE!",
            ),
            ("ALTER TABLE people ADD COLUMN x bigserial", "people ACCESS EXCLUSIVE!"),
            (
                "ALTER TABLE people ADD COLUMN x int GENERATED ALWAYS AS (id + 1) STORED",
                "people ACCESS EXCLUSIVE!",
            ),
            (
                "ALTER TABLE people ADD COLUMN pet bigint REFERENCES pets (id)",
                "people ACCESS EXCLUSIVE, pets SHARE ROW EXCLUSIVE",
            ),
            ("ALTER TABLE people ALTER COLUMN name TYPE varchar(9)", "people ACCESS EXCLUSIVE!"),
            ("ALTER TABLE people ALTER COLUMN name SET NOT NULL", "people ACCESS EXCLUSIVE"),
            ("ALTER TABLE people SET UNLOGGED", "people ACCESS EXCLUSIVE!"),
            ("ALTER TABLE people DROP COLUMN name", "people ACCESS EXCLUSIVE"),
            (
                "ALTER TABLE pets ADD CONSTRAINT f FOREIGN KEY (owner) REFERENCES people (id) NOT VALID",
                "people SHARE ROW EXCLUSIVE, pets SHARE ROW EXCLUSIVE",
            ),
            (
                "ALTER TABLE pets ADD CONSTRAINT c CHECK (owner > 0) NOT VALID",
                "pets ACCESS EXCLUSIVE",
            ),
            ("ALTER TABLE pets VALIDATE CONSTRAINT c", "pets SHARE UPDATE EXCLUSIVE"),
            ("ALTER TABLE \"People\" ADD COLUMN x int", "\"People\" ACCESS EXCLUSIVE"),
            (
                "CREATE TRIGGER t AFTER INSERT ON people FOR EACH ROW EXECUTE FUNCTION f()",
                "people SHARE ROW EXCLUSIVE",
            ),
            ("DO $$ BEGIN PERFORM 1; END $$", "unknown ACCESS EXCLUSIVE!"),
            ("CREATE INDEX i ON people (name); DO NOTHING AT ALL", "unknown ACCESS EXCLUSIVE!"),
            (
                "WITH gone AS (DELETE FROM people RETURNING 1) SELECT * FROM gone",
                "unknown ACCESS EXCLUSIVE!",
            ),
            (
                "CREATE INDEX i ON people (name); ALTER TABLE people ADD COLUMN x int",
                "people ACCESS EXCLUSIVE",
            ),
        ] {
            assert_eq!(locks(sql).join(", "), expected, "{sql}");
        }
    }

    #[test]
    fn sqlite_locks_the_whole_file_for_writing() {
        for (sql, rewrites) in [
            ("CREATE TABLE t (x TEXT) STRICT", false),
            ("ALTER TABLE people ADD COLUMN x TEXT", false),
            ("ALTER TABLE people DROP COLUMN name", true),
            ("INSERT INTO new_people SELECT * FROM people", true),
            ("nonsense", true),
        ] {
            let locks = estimate(Dialect::Sqlite, [BEFORE], [sql]).remove(0);
            assert_eq!(locks, [Lock::new(Subject::WholeFile, Mode::Writer, rewrites)], "{sql}");
        }
    }
}
