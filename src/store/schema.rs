//! The migrations this program carries, compared with those a database has seen.

use refinery::{Migration, Runner, SchemaVersion};

use super::SchemaState;

mod sqlite_files {
    #![allow(missing_docs, clippy::unwrap_used, unreachable_pub, reason = "generated")]
    refinery::embed_migrations!("migrations/sqlite");
}

mod postgres_files {
    #![allow(missing_docs, clippy::unwrap_used, unreachable_pub, reason = "generated")]
    refinery::embed_migrations!("migrations/postgres");
}

/// Reads what ran; the columns are refinery's.
pub(super) const APPLIED: &str =
    "SELECT version, name, checksum FROM refinery_schema_history ORDER BY version";

/// A migration that ran, as `refinery_schema_history` has it.
#[derive(Debug, Clone)]
pub(super) struct Applied {
    pub(super) version: SchemaVersion,
    pub(super) name: String,
    pub(super) checksum: String,
}

pub(super) fn sqlite() -> Runner {
    sqlite_files::migrations::runner()
}

pub(super) fn postgres() -> Runner {
    postgres_files::migrations::runner()
}

/// How `migrate` and error messages call a migration: its file's name.
pub(super) fn label(migration: &Migration) -> String {
    migration.to_string()
}

/// Compares the runner's migrations with what a database has seen.
pub(super) fn state(runner: &Runner, applied: &[Applied]) -> SchemaState {
    let ours = runner.get_migrations();
    let newest_known = ours.iter().map(Migration::version).max();
    for seen in applied {
        match ours.iter().find(|m| m.version() == seen.version) {
            Some(m) if m.name() == seen.name && m.checksum().to_string() == seen.checksum => {}
            None if Some(seen.version) > newest_known => {}
            Some(_) | None => return SchemaState::Diverged { migration: seen.label() },
        }
    }
    if let Some(newest) = applied.last().filter(|seen| Some(seen.version) > newest_known) {
        return SchemaState::Ahead { newest: newest.label() };
    }
    let mut missing: Vec<_> =
        ours.iter().filter(|m| applied.iter().all(|seen| seen.version != m.version())).collect();
    if missing.is_empty() {
        return SchemaState::Current;
    }
    missing.sort();
    SchemaState::Behind { pending: missing.into_iter().map(label).collect() }
}

impl Applied {
    fn label(&self) -> String {
        format!("V{}__{}", self.version, self.name)
    }
}

/// A refinery error on one line, with its cause.
pub(super) fn explain(error: &refinery::Error) -> String {
    match error.kind() {
        refinery::error::Kind::Connection(what, cause) => {
            let detail = cause.source().map(|source| format!(": {source}")).unwrap_or_default();
            format!("{what}: {cause}{detail}")
        }
        other => other.to_string(),
    }
}
