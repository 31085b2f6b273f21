//! The migrations this program carries, compared with those a database has seen.

use refinery::{Migration, SchemaVersion};

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

pub(super) fn sqlite() -> Vec<Migration> {
    in_order(sqlite_files::migrations::runner().get_migrations())
}

pub(super) fn postgres() -> Vec<Migration> {
    in_order(postgres_files::migrations::runner().get_migrations())
}

pub(super) fn in_order(migrations: &[Migration]) -> Vec<Migration> {
    let mut migrations = migrations.to_vec();
    migrations.sort();
    migrations
}

/// How `migrate` and error messages call a migration: its file's name.
pub(super) fn label(migration: &Migration) -> String {
    migration.to_string()
}

/// Compares these migrations, in their order, with what a database has seen.
pub(super) fn state(ours: &[Migration], applied: &[Applied]) -> SchemaState {
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
    let pending: Vec<_> = missing(ours, applied).map(label).collect();
    if pending.is_empty() { SchemaState::Current } else { SchemaState::Behind { pending } }
}

/// Those of these migrations that a database has not seen.
pub(super) fn missing<'a>(
    ours: &'a [Migration],
    applied: &'a [Applied],
) -> impl Iterator<Item = &'a Migration> {
    ours.iter().filter(|m| applied.iter().all(|seen| seen.version != m.version()))
}

impl Applied {
    pub(super) fn label(&self) -> String {
        format!("V{}__{}", self.version, self.name)
    }
}

/// Whether a migration of this name (`V4__tasks`) is newer than all that this program carries.
#[must_use]
pub fn is_newer(label: &str) -> bool {
    version_of(label).is_none_or(|version| Some(version) > newest_known())
}

/// Whether this program carries newer migrations than the one of this name.
#[must_use]
pub fn is_older(label: &str) -> bool {
    version_of(label).is_some_and(|version| Some(version) < newest_known())
}

fn version_of(label: &str) -> Option<SchemaVersion> {
    label.strip_prefix('V')?.split("__").next()?.parse().ok()
}

fn newest_known() -> Option<SchemaVersion> {
    postgres().iter().map(Migration::version).max()
}

/// Why refinery failed: what the database said, or else its own words, on one line.
pub(super) fn explain(error: &refinery::Error) -> String {
    let refinery::error::Kind::Connection(_, cause) = error.kind() else {
        return error.to_string();
    };
    if let Some(error) = cause.downcast_ref() {
        return super::explain(error);
    }
    match cause.downcast_ref() {
        // In its own words the whole file's SQL follows.
        Some(rusqlite::Error::SqlInputError { msg, .. }) => msg.clone(),
        _ => cause.to_string(),
    }
}
